"""Hand a client its next secret for its old one, and let it verify when the client shows it: intent, effect, outcome.

The old secret goes on verifying all the while. What is handed over does not verify before the client proves that it has
it, so an answer that gets lost costs nothing: the same token gets another secret, and the lost one is dead.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from audit import clock
from audit.actor import Actor
from audit.checkpoints import wait_until_sealed
from audit.events import Outcome
from audit.log import record
from audit.models import AuditEvent
from keys.crypto.secrets import Secret
from keys.errors import Conflict, KeysError, Unavailable
from keys.events import ClaimIntended, RotationContested, VersionActivated, VersionIssued
from keys.lifecycle.claiming import SEALED_WITHIN_SECONDS, leave_claim
from keys.lifecycle.fetch_facts import SECOND_TOKEN, fetch_facts
from keys.lifecycle.inventory import is_fetched, lives
from keys.lifecycle.issuance import end_of, refuse_if_suspended
from keys.lifecycle.minting import mint_for
from keys.lifecycle.rotation import PAUSE
from keys.lifecycle.rotation_course import (
    claim_period,
    end_version_of,
    go_on_after_hand_over,
    next_version,
    version_of,
)
from keys.lifecycle.rotation_steps import move_rotation, open_rotation, schedule_next
from keys.lifecycle.transitions import change_version, locked_key, locked_versions, move_version
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.operations import operation, refuse_if_log_is_behind, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.fetch_rules import may_fetch
from keys.states import WAITING_ROTATION_STATES, RotationState, VersionState

HANDED_OVER_AGAIN = "handed-over-again"


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """The answer to a fetch; the secret is there once. `hand_overs`: how many were minted in this rotation so far."""

    rotation: Rotation
    version: KeyVersion
    secret: Secret
    hand_overs: int


@dataclass(frozen=True, kw_only=True)
class FetchIntent:
    """That a secret is about to be handed over, on record as `uid`, about the version that waits."""

    uid: UUID
    version: KeyVersion


def fetch_next(version: KeyVersion, *, token: str, address: str | None, actor: Actor) -> HandOver:
    """Mint the key's next secret for whoever holds its old `version`, and return it: once (DESIGN, invariant 1).

    The same `token` again gets another secret and kills the one before; a second token stops the rotation, because two
    who hold the same old secret know nothing of each other. As claim_secret: the intent is sealed first; not an operation.
    """
    intended = intend_fetch(version, token=token, address=address, actor=actor)
    if isinstance(intended, Conflict):
        raise intended
    correlation = str(intended.uid)
    try:
        if not wait_until_sealed([intended.uid], seconds=SEALED_WITHIN_SECONDS):
            raise Unavailable("audit_unsealed")
        handed = hand_over(version, token=token, address=address, actor=actor, correlation=correlation)
        if isinstance(handed, Conflict):
            raise handed
    except KeysError as refused:
        with contextlib.suppress(KeysError):  # what cannot be recorded now is found as an intent without outcome
            leave_claim(intended.version, actor=actor, correlation=correlation, reason=refused.code)
        raise
    return handed


@operation(grants="sometimes")
def intend_fetch(version: KeyVersion, *, token: str, address: str | None, actor: Actor) -> FetchIntent | Conflict:
    """Decide whether the next secret may be fetched, and put on record that it is about to be.

    A Conflict that is returned, not raised, has changed something: a contest stops the rotation.
    """
    found = _lock_for_fetch(version, address=address, actor=actor)
    if contest := found.contest(token, actor=actor):
        return contest
    waiting = found.waiting()
    refuse_if_log_is_behind()
    intent = ClaimIntended(target_id=str(waiting.pk), environment=found.key.environment.tag, outcome=Outcome.INTENT)
    return FetchIntent(uid=record(intent, actor=actor, at=found.at), version=waiting)


@operation(grants="sometimes")
def hand_over(
    version: KeyVersion, *, token: str, address: str | None, actor: Actor, correlation: str
) -> HandOver | Conflict:
    """Mint what was intended: everything is locked and decided anew. Only fetch_next calls this."""
    found = _lock_for_fetch(version, address=address, actor=actor)
    if contest := found.contest(token, actor=actor):
        return contest
    new, rotation, at = found.waiting(), found.rotation, found.at
    assert rotation is not None
    refuse_if_log_is_behind()
    if rotation.state == RotationState.HANDED_OVER:
        end_version_of(new, reason=HANDED_OVER_AGAIN, actor=actor, at=at, correlation=correlation)
        new = next_version(found.key, found.versions, actor=actor, at=at)
    known_by = mint_for(new, public_key="")
    assert known_by.secret is not None  # only bearer keys are approved to fetch (keys/policy/bounds.py)
    change_version(
        new,
        VersionIssued,
        actor=actor,
        at=at,
        columns={
            **known_by.columns,
            "claimed_at": at,
            "claim_until": min(new.claim_until, at + claim_period(found.key)),
        },
        correlation=correlation,
    )
    columns = {"new_version": new, "handed_over_at": at, "fetch_token": _hashed(token)}
    rotation = move_rotation(rotation, RotationState.HANDED_OVER, actor=actor, at=at, columns=columns)
    return HandOver(rotation=rotation, version=new, secret=known_by.secret, hand_overs=1 + _burned(rotation))


@operation(grants="sometimes")
def activate_fetched(version: KeyVersion, *, address: str | None, actor: Actor) -> Rotation:
    """Let a fetched `version` verify, because its secret was presented; again is harmless. The cryptoperiod starts here."""
    found = _lock_for_fetch(version, address=address, actor=actor)
    version, key, at = found.version, found.key, found.at
    if version.state == VersionState.ACTIVE and is_fetched(version) and lives(version, at=at):
        return _rotation_to(version)
    rotation = found.rotation
    if rotation is None or rotation.state != RotationState.HANDED_OVER or rotation.new_version_id != version.pk:
        raise Conflict("nothing_to_activate")
    if version.state != VersionState.PRE_ACTIVATION or not version.is_intact or not lives(version, at=at):
        raise Conflict("nothing_to_activate")
    refuse_if_suspended(found.versions)
    refuse_if_log_is_behind()
    move_version(
        version,
        VersionState.ACTIVE,
        VersionActivated,
        actor=actor,
        at=at,
        columns={"activated_at": at, "expires_at": end_of(key, at=at)},
    )
    go_on_after_hand_over(version, found.versions, actor=actor, at=at)
    return _rotation_to(version)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The version that was presented, under lock, and that its key may replace its own secret."""

    version: KeyVersion
    versions: list[KeyVersion]
    key: ManagedKey
    rotation: Rotation | None
    at: datetime

    def waiting(self) -> KeyVersion:
        """The version whose secret the client may have now; Conflict says why there is none, and since when or until when."""
        rotation = self.rotation
        if rotation is None:
            raise Conflict("no_rotation", state="none", due_at=None)
        if rotation.state == RotationState.SCHEDULED:
            raise Conflict("rotation_not_due", state=rotation.state, due_at=rotation.due_at)
        if rotation.state not in WAITING_ROTATION_STATES or rotation.old_version_id != self.version.pk:
            raise Conflict("already_activated", state=rotation.state, retire_at=self.version.retire_at)
        old = self.version
        if old.state != VersionState.ACTIVE or not old.is_intact or not lives(old, at=self.at):
            raise Conflict("wrong_version_state", state=old.state, wanted=str(VersionState.ACTIVE))
        refuse_if_suspended(self.versions)
        new = version_of(self.versions, rotation.new_version_id)
        if new is None or new.state != VersionState.PRE_ACTIVATION or not lives(new, at=self.at):
            raise Conflict("no_rotation", state=rotation.state, due_at=rotation.due_at)
        return new

    def contest(self, token: str, *, actor: Actor) -> Conflict | None:
        """Stop a rotation of which another token has the secret, and alarm; after the activation only alarm, once."""
        rotation = self.rotation
        if rotation is None or rotation.fetch_token in ("", _hashed(token)):
            return None
        if rotation.state == RotationState.HANDED_OVER:
            self._stop(rotation, actor=actor)
            return Conflict("fetched_by_another")
        if rotation.old_version_id != self.version.pk:
            return None  # it goes on with the new secret, and asks again: nobody else holds the old one for that
        contested = AuditEvent.objects.of_target(RotationContested.target_type, str(rotation.pk))
        if not contested.with_action(RotationContested.action).exists():
            tag = self.key.environment.tag
            update(
                rotation, RotationContested, actor=actor, at=self.at, columns={}, reason=SECOND_TOKEN, environment=tag
            )
        return Conflict("already_activated", state=rotation.state, retire_at=self.version.retire_at)

    def _stop(self, rotation: Rotation, *, actor: Actor) -> None:
        new = version_of(self.versions, rotation.new_version_id)
        if new is not None and lives(new, at=self.at):
            end_version_of(new, reason=SECOND_TOKEN, actor=actor, at=self.at)
        move_rotation(
            rotation,
            RotationState.ABORTED,
            actor=actor,
            at=self.at,
            reason=SECOND_TOKEN,
            event=RotationContested,
        )
        # A person claims that one: this old version never fetches again (keys/lifecycle/fetch_facts.py).
        schedule_next(self.key, self.version, actor=actor, at=self.at, not_before=self.at + PAUSE)


def _lock_for_fetch(version: KeyVersion, *, address: str | None, actor: Actor) -> _Found:
    key = locked_key(version.managed_key)
    versions = locked_versions(key)
    rotation = open_rotation(key)
    version = next(each for each in versions if each.pk == version.pk)
    at = clock.now()
    enforce(may_fetch(standing_of(actor, at=at), fetch_facts(version, rotation, address=address)))
    return _Found(version=version, versions=versions, key=key, rotation=rotation, at=at)


def _rotation_to(version: KeyVersion) -> Rotation:
    """The replacement that brought `version`, with its old one."""
    rows = Rotation.objects.select_related("old_version").filter(new_version=version)
    return rows.latest("created_at")


def _burned(rotation: Rotation) -> int:
    burned = KeyVersion.objects.filter(managed_key=rotation.managed_key, ended_reason=HANDED_OVER_AGAIN)
    return burned.filter(ended_at__gte=rotation.prepared_at).count()


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
