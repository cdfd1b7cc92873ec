"""Bring keys and their versions into being; a version gets its secret when it is claimed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict
from keys.events import KeyCreated, VersionDeactivated
from keys.lifecycle.facts import key_facts
from keys.lifecycle.transitions import create_version, locked_key, locked_versions, move_version
from keys.models import KeyVersion, ManagedKey
from keys.models.base import next_number
from keys.operations import insert, operation, refuse_if_log_is_behind
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_claim
from keys.states import CHOSEN_SUSPENSIONS, LIVING_VERSION_STATES, VersionState


def create_key(*, claim_until: datetime, actor: Actor, at: datetime, **columns: Any) -> ManagedKey:
    """Write the key and its first version; part of the operation that approved it."""
    refuse_if_log_is_behind()
    key = ManagedKey(number=next_number("keys_key_number"), created_at=at, **columns)
    insert(key, KeyCreated, actor=actor, at=at, environment=key.environment.tag)
    create_version(key, claim_until=claim_until, actor=actor, at=at)
    return key


def end_of(key: ManagedKey, *, at: datetime) -> datetime:
    """When a version claimed at `at` ends: after its cryptoperiod, or with the key's authorisation if that is first."""
    return min(at + timedelta(days=key.cryptoperiod_days), key.authorised_until)


@operation(grants="always")
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
    refuse_if_suspended(versions)
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


def refuse_if_suspended(versions: list[KeyVersion]) -> None:
    """What somebody stopped on purpose comes back by a reinstatement, not by a replacement; a reported leak is replaced."""
    if any(each.state == VersionState.SUSPENDED and each.suspended_reason in CHOSEN_SUSPENSIONS for each in versions):
        raise Conflict("key_suspended")
