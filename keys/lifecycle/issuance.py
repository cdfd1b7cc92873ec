"""Bring keys into being and hand over each secret exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from audit import clock
from audit.actor import Actor
from keys.crypto.digests import CURRENT_ALGORITHM, digest
from keys.crypto.key_text import mint
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Gone
from keys.events import (
    ClaimRepeated,
    KeyCreated,
    VersionDeactivated,
    VersionIssued,
    VersionRetirementSet,
    VersionSuspended,
)
from keys.lifecycle.facts import key_facts
from keys.lifecycle.transitions import change_version, create_version, locked_key, locked_versions, move_version
from keys.models import KeyVersion, ManagedKey
from keys.models.base import next_number
from keys.operations import insert, operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import CLAIM_REPEAT_PERIOD, may_claim
from keys.states import CHOSEN_SUSPENSIONS, LIVING_VERSION_STATES, SuspensionReason, VersionState

OVERLAP_PERIOD = timedelta(hours=24)


class ClaimOutcome(StrEnum):
    """What came of a claim."""

    ISSUED = "issued"
    REPEATED = "repeated"
    MISUSED = "misused"


@dataclass(frozen=True)
class Claim:
    """The answer to a claim; the secret is there once, in the answer that issued it."""

    outcome: ClaimOutcome
    version: KeyVersion
    secret: Secret | None = None


def create_key(*, claim_until: datetime, actor: Actor, at: datetime, **columns: Any) -> ManagedKey:
    """Write the key and its first version; part of the operation that approved it."""
    key = ManagedKey(number=next_number("keys_key_number"), created_at=at, **columns)
    insert(key, KeyCreated, actor=actor, at=at, environment=key.environment.tag)
    create_version(key, claim_until=claim_until, actor=actor, at=at)
    return key


@operation
def claim_secret(version: KeyVersion, *, actor: Actor) -> Claim:
    """Mint the secret of `version` and return it: once, whatever happens to the answer (DESIGN, invariant 1).

    The cryptoperiod starts here. A repeat from the same session within 60 s gets nothing; any other attempt after the
    first suspends the version, because one of the two was not who we think.
    """
    key = locked_key(version.managed_key)
    versions = locked_versions(key)
    version = next(each for each in versions if each.pk == version.pk)
    at = clock.now()
    who = standing_of(actor, at=at)
    enforce(may_claim(actor, who, key_facts(key), at=at))
    if version.claimed_at is not None:
        return _claim_again(version, actor=actor, at=at)
    if version.state != VersionState.PRE_ACTIVATION:
        raise Conflict("version_not_claimable", state=version.state)
    _refuse_if_suspended(versions)
    if at >= version.claim_until or at >= key.authorised_until:
        raise Gone("claim_lapsed")
    text = mint(key.environment.tag, kid=version.kid)
    move_version(
        version,
        VersionState.ACTIVE,
        VersionIssued,
        actor=actor,
        at=at,
        columns={
            "digest": digest(text.secret),
            "digest_algorithm": CURRENT_ALGORITHM,
            "last4": text.last4,
            "claimed_at": at,
            "claimed_by_id": who.person_id,
            "claimed_session": actor.session,
            "activated_at": at,
            "expires_at": end_of(key, at=at),
        },
    )
    _make_room(version, versions, actor=actor, at=at)
    return Claim(ClaimOutcome.ISSUED, version, text.secret)


def _refuse_if_suspended(versions: list[KeyVersion]) -> None:
    """What somebody stopped on purpose comes back by a reinstatement, not by a replacement; a reported leak is replaced."""
    if any(each.state == VersionState.SUSPENDED and each.suspended_reason in CHOSEN_SUSPENSIONS for each in versions):
        raise Conflict("key_suspended")


def _make_room(version: KeyVersion, versions: list[KeyVersion], *, actor: Actor, at: datetime) -> None:
    """Let the version before work on for a while, so that nothing stops; end what was suspended, and all that is older.

    At most two versions of a key verify at once (DESIGN, invariant 4).
    """
    older = [each for each in versions if each.sequence < version.sequence]  # newest first
    before = next((each for each in older if each.state == VersionState.ACTIVE), None)
    for each in older:
        if each is before:
            retire_at = min(each.retire_at or at + OVERLAP_PERIOD, at + OVERLAP_PERIOD)
            change_version(each, VersionRetirementSet, actor=actor, at=at, columns={"retire_at": retire_at})
        elif each.state in (VersionState.ACTIVE, VersionState.SUSPENDED):
            move_version(
                each,
                VersionState.DEACTIVATED,
                VersionDeactivated,
                actor=actor,
                at=at,
                columns={"ended_at": at, "ended_reason": "superseded"},
                reason="superseded",
            )


def _claim_again(version: KeyVersion, *, actor: Actor, at: datetime) -> Claim:
    assert version.claimed_at is not None
    if version.claimed_session == actor.session and at - version.claimed_at <= CLAIM_REPEAT_PERIOD:
        change_version(version, ClaimRepeated, actor=actor, at=at, columns={})
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
        )
    else:
        change_version(version, ClaimRepeated, actor=actor, at=at, columns={})
    return Claim(ClaimOutcome.MISUSED, version)


def end_of(key: ManagedKey, *, at: datetime) -> datetime:
    """When a version claimed at `at` ends: after its cryptoperiod, or with the key's authorisation if that is first."""
    return min(at + timedelta(days=key.cryptoperiod_days), key.authorised_until)


@operation
def issue_new_version(key: ManagedKey, *, actor: Actor) -> KeyVersion:
    """Replace a secret that was lost, leaked or not claimed in time; the old one works for a while after the claim, unless suspended."""
    key = locked_key(key)
    versions = locked_versions(key)
    at = clock.now()
    enforce(may_claim(actor, standing_of(actor, at=at), key_facts(key), at=at))
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    if at >= key.authorised_until:
        raise Conflict("authorisation_over")
    _refuse_if_suspended(versions)
    for version in versions:
        if version.digest is not None or VersionState(version.state) not in LIVING_VERSION_STATES:
            continue
        lapsed = version.claim_until <= at
        if version.state == VersionState.PRE_ACTIVATION and not lapsed:
            raise Conflict("version_waits_for_claim")
        ended = (version.claim_until, "claim-lapsed") if lapsed else (at, "superseded")
        move_version(
            version,
            VersionState.DEACTIVATED,
            VersionDeactivated,
            actor=actor,
            at=at,
            columns={"ended_at": ended[0], "ended_reason": ended[1]},
            reason=ended[1],
        )
    hours = key.policy.claim_hours if key.policy else 72
    return create_version(key, claim_until=at + timedelta(hours=hours), actor=actor, at=at)
