"""Hand over each secret exactly once: intent, effect, outcome, so that the log knows of it before anybody does."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from audit import clock
from audit.actor import Actor
from audit.checkpoints import wait_until_sealed
from audit.events import Outcome
from audit.log import record
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Denied, Gone, KeysError, Unavailable
from keys.events import (
    ClaimFailed,
    ClaimIntended,
    ClaimRepeated,
    VersionIssued,
    VersionSuspended,
)
from keys.lifecycle.facts import key_facts
from keys.lifecycle.inventory import is_fetched
from keys.lifecycle.issuance import end_of, refuse_if_suspended
from keys.lifecycle.minting import mint_for, read_brought_key
from keys.lifecycle.rotation_course import go_on_after_hand_over
from keys.lifecycle.transitions import change_version, locked_key, locked_versions, move_version
from keys.models import KeyVersion, ManagedKey
from keys.operations import operation, refuse_if_log_is_behind
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import CLAIM_REPEAT_PERIOD, may_claim
from keys.states import SuspensionReason, VersionState

SEALED_WITHIN_SECONDS = 5.0


class ClaimOutcome(StrEnum):
    """What came of a claim."""

    ISSUED = "issued"
    REPEATED = "repeated"
    MISUSED = "misused"


@dataclass(frozen=True)
class Claim:
    """The answer to a claim; the secret is there once, in the answer that issued it, unless the client has its own pair."""

    outcome: ClaimOutcome
    version: KeyVersion
    secret: Secret | None = None


def claim_secret(version: KeyVersion, *, actor: Actor, public_key: str = "") -> Claim:
    """Mint the secret of `version` and return it: once, whatever happens to the answer (DESIGN, invariant 1).

    A key pair is the client's: it brings the `public_key` (PEM, JWK or OpenSSH), and there is no secret to return.

    The one way to a secret, for every door. First the intent is committed and sealed: no secret leaves Keystead of which a
    database's owner could still unmake the trace. While the log is not sealed, within SEALED_WITHIN_SECONDS, nothing is
    handed over and the claim stays unspent (Unavailable). Not an operation: it waits, so it holds no transaction.
    """
    intended = intend_claim(version, public_key=public_key, actor=actor)
    if isinstance(intended, Claim):
        return intended
    correlation = str(intended)
    try:
        if not wait_until_sealed([intended], seconds=SEALED_WITHIN_SECONDS):
            raise Unavailable("audit_unsealed")
        return issue_secret(version, public_key=public_key, actor=actor, correlation=correlation)
    except Denied:
        raise  # its operation put it on record, with the correlation
    except KeysError as refused:
        with contextlib.suppress(KeysError):  # what cannot be recorded now is found as an intent without outcome
            leave_claim(version, actor=actor, correlation=correlation, reason=refused.code)
        raise


@operation(grants="sometimes")
def intend_claim(version: KeyVersion, *, public_key: str = "", actor: Actor) -> UUID | Claim:
    """Decide whether `version` may be claimed, and put on record that it is about to be; or answer who comes too late.

    Strangers leave a denial and no intent. A second claim is answered here, because stopping must not wait for the sealer.
    """
    claimed = _lock_for_claim(version, actor=actor)
    claimed.refuse_if_fetched()
    if claimed.version.claimed_at is not None:
        return _claim_again(claimed.version, actor=actor, at=claimed.at, correlation="")
    claimed.refuse_if_not_claimable()
    read_brought_key(claimed.version, claimed.versions, public_key)
    refuse_if_log_is_behind()
    intent = ClaimIntended(target_id=str(version.pk), environment=claimed.key.environment.tag, outcome=Outcome.INTENT)
    return record(intent, actor=actor, at=claimed.at)


@operation(grants="sometimes")
def issue_secret(version: KeyVersion, *, public_key: str = "", actor: Actor, correlation: str) -> Claim:
    """Mint what was intended: everything is locked and decided anew, because something may have changed meanwhile.

    The cryptoperiod starts here. A repeat from the same session within 60 s gets nothing; any other attempt after the
    first suspends the version, because one of the two was not who we think. Only claim_secret calls this.
    """
    claimed = _lock_for_claim(version, actor=actor)
    version, key, at = claimed.version, claimed.key, claimed.at
    claimed.refuse_if_fetched()
    if version.claimed_at is not None:
        return _claim_again(version, actor=actor, at=at, correlation=correlation)
    claimed.refuse_if_not_claimable()
    refuse_if_log_is_behind()
    known_by = mint_for(version, public_key=read_brought_key(version, claimed.versions, public_key))
    move_version(
        version,
        VersionState.ACTIVE,
        VersionIssued,
        actor=actor,
        at=at,
        columns={
            **known_by.columns,
            "claimed_at": at,
            "claimed_by_id": claimed.person_id,
            "claimed_session": actor.session,
            "activated_at": at,
            "expires_at": end_of(key, at=at),
        },
        correlation=correlation,
    )
    go_on_after_hand_over(version, claimed.versions, actor=actor, at=at)
    return Claim(ClaimOutcome.ISSUED, version, known_by.secret)


@operation
def leave_claim(version: KeyVersion, *, actor: Actor, correlation: str, reason: str) -> None:
    """Put on record that an intended claim came to nothing; the version is as it was."""
    failed = ClaimFailed(
        target_id=str(version.pk),
        environment=version.managed_key.environment.tag,
        outcome=Outcome.FAILURE,
        reason=reason,
        correlation=correlation,
    )
    record(failed, actor=actor, at=clock.now())


@dataclass(frozen=True, kw_only=True)
class _Claimed:
    """A version under lock, and that this actor may claim it."""

    version: KeyVersion
    versions: list[KeyVersion]
    key: ManagedKey
    person_id: UUID | None
    at: datetime

    def refuse_if_fetched(self) -> None:
        """What the client took itself is no second claim: whoever asks did not know, and takes it back first."""
        if is_fetched(self.version):
            raise Conflict("version_fetched")

    def refuse_if_not_claimable(self) -> None:
        if self.version.state != VersionState.PRE_ACTIVATION:
            raise Conflict("version_not_claimable", state=self.version.state)
        refuse_if_suspended(self.versions)
        if self.at >= self.version.claim_until or self.at >= self.key.authorised_until:
            raise Gone("claim_lapsed")


def _lock_for_claim(version: KeyVersion, *, actor: Actor) -> _Claimed:
    key = locked_key(version.managed_key)
    versions = locked_versions(key)
    version = next(each for each in versions if each.pk == version.pk)
    at = clock.now()
    who = standing_of(actor, at=at)
    enforce(may_claim(actor, who, key_facts(key), at=at))
    return _Claimed(version=version, versions=versions, key=key, person_id=who.person_id, at=at)


def _claim_again(version: KeyVersion, *, actor: Actor, at: datetime, correlation: str) -> Claim:
    assert version.claimed_at is not None
    if version.claimed_session == actor.session and at - version.claimed_at <= CLAIM_REPEAT_PERIOD:
        change_version(version, ClaimRepeated, actor=actor, at=at, columns={}, correlation=correlation)
        return Claim(ClaimOutcome.REPEATED, version)
    if version.state == VersionState.ACTIVE:
        move_version(
            version,
            VersionState.SUSPENDED,
            VersionSuspended,
            actor=actor,
            at=at,
            columns={
                "suspended_at": at,
                "suspended_reason": str(SuspensionReason.SECOND_CLAIM),
                "suspended_by": actor.id,
            },
            reason=str(SuspensionReason.SECOND_CLAIM),
            correlation=correlation,
        )
    else:
        change_version(version, ClaimRepeated, actor=actor, at=at, columns={}, correlation=correlation)
    return Claim(ClaimOutcome.MISUSED, version)
