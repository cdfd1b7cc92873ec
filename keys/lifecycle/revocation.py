"""Stop keys: suspend, reinstate, revoke, and say that one leaked."""

from __future__ import annotations

from datetime import datetime

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import (
    KeyLeakReported,
    KeyRevoked,
    VersionCompromised,
    VersionDeactivated,
    VersionReinstated,
    VersionSuspended,
)
from keys.lifecycle.facts import key_facts
from keys.lifecycle.rotation_steps import move_rotation, open_rotation, schedule_next
from keys.lifecycle.transitions import change_version, locked_key, locked_versions, move_version
from keys.models import KeyVersion, ManagedKey
from keys.models.keys import SUSPENDED_BY_LENGTH
from keys.operations import operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_reinstate, may_report_leak, may_revoke, may_suspend
from keys.states import (
    CHOSEN_SUSPENSIONS,
    LIVING_VERSION_STATES,
    RevocationReason,
    RotationState,
    SuspensionReason,
    VersionState,
)
from keys.text import paragraph

SUSPENDABLE = (VersionState.PRE_ACTIVATION, VersionState.ACTIVE)


@operation
def suspend_key(key: ManagedKey, *, actor: Actor, reason: SuspensionReason) -> None:
    """Make every version of `key` stop verifying until someone reinstates it."""
    if reason not in CHOSEN_SUSPENSIONS:
        raise Invalid.field("reason", "unknown_choice", choices=list(map(str, CHOSEN_SUSPENSIONS)))
    key = locked_key(key)
    versions = locked_versions(key)
    at = clock.now()
    enforce(may_suspend(actor, standing_of(actor, at=at), key_facts(key), at=at))
    if not _suspend(versions, actor=actor, at=at, reason=reason):
        raise Conflict("nothing_to_suspend")


def _suspend(versions: list[KeyVersion], *, actor: Actor, at: datetime, reason: SuspensionReason) -> int:
    stopped = [each for each in versions if each.state in SUSPENDABLE]
    for version in stopped:
        move_version(
            version,
            VersionState.SUSPENDED,
            VersionSuspended,
            actor=actor,
            at=at,
            columns={"suspended_at": at, "suspended_reason": str(reason), "suspended_by": actor.id},
            reason=str(reason),
        )
    return len(stopped)


@operation(grants="always")
def reinstate_key(key: ManagedKey, *, actor: Actor) -> None:
    """Let suspended versions verify again; in production only by someone who did not suspend any of them."""
    key = locked_key(key)
    versions = locked_versions(key)
    at = clock.now()
    enforce(may_reinstate(actor, standing_of(actor, at=at), key_facts(key, versions), at=at))
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    suspended = [each for each in versions if each.state == VersionState.SUSPENDED]
    if not suspended:
        raise Conflict("nothing_to_reinstate")
    for version in suspended:
        move_version(
            version,
            VersionState.PRE_ACTIVATION if version.activated_at is None else VersionState.ACTIVE,
            VersionReinstated,
            actor=actor,
            at=at,
            columns={"suspended_at": None, "suspended_reason": "", "suspended_by": ""},
        )
    working = next((each for each in versions if each.state == VersionState.ACTIVE), None)
    if working is not None:
        schedule_next(key, working, actor=actor, at=at)  # one that fell due meanwhile was stopped


@operation
def revoke_key(key: ManagedKey, *, actor: Actor, reason: RevocationReason) -> None:
    """End the use of every version of `key`, now and for ever (DESIGN, invariant 5). It needs no approval."""
    key = locked_key(key)
    versions = locked_versions(key)
    at = clock.now()
    enforce(may_revoke(actor, standing_of(actor, at=at), key_facts(key), at=at))
    end_key(key, versions, actor=actor, at=at, reason=reason)


def end_key(
    key: ManagedKey, versions: list[KeyVersion], *, actor: Actor, at: datetime, reason: RevocationReason
) -> None:
    """Write the end of a locked key and of all its versions; part of a larger operation."""
    if key.revoked_at is not None:
        raise Conflict("already_revoked")
    update(
        key,
        KeyRevoked,
        actor=actor,
        at=at,
        expected={"revoked_at": None},
        columns={"revoked_at": at, "revoked_reason": str(reason), "revoked_by": actor.id},
        reason=str(reason),
        environment=key.environment.tag,
    )
    leaked = reason == RevocationReason.KEY_COMPROMISE
    for version in versions:
        if version.state in LIVING_VERSION_STATES:
            move_version(
                version,
                VersionState.COMPROMISED if leaked else VersionState.DEACTIVATED,
                VersionCompromised if leaked else VersionDeactivated,
                actor=actor,
                at=at,
                columns={"ended_at": at, "ended_reason": str(reason)},
                reason=str(reason),
            )
    rotation = open_rotation(key)
    if rotation is not None:
        move_rotation(rotation, RotationState.ABORTED, actor=actor, at=at, reason="key-revoked")


@operation
def report_leak(key: ManagedKey, *, actor: Actor, comment: str = "") -> None:
    """Say that a key leaked: it stops at once, without a second factor and without blame; what follows is decided later."""
    key = locked_key(key)
    versions = locked_versions(key)
    at = clock.now()
    enforce(may_report_leak(standing_of(actor, at=at), key_facts(key)))
    if key.revoked_at is not None:
        raise Conflict("already_revoked")
    words = paragraph(comment, "comment")
    update(key, KeyLeakReported, actor=actor, at=at, columns={}, environment=key.environment.tag, comment=words)
    _suspend(versions, actor=actor, at=at, reason=SuspensionReason.LEAK_REPORTED)
    for version in versions:
        # Stopped before for another reason: that reason stands, and whoever reports may not lift it alone either.
        if version.state == VersionState.SUSPENDED and actor.id not in version.suspended_by.split():
            stoppers = f"{version.suspended_by} {actor.id}"[-SUSPENDED_BY_LENGTH:]
            change_version(
                version,
                VersionSuspended,
                actor=actor,
                at=at,
                columns={"suspended_by": stoppers},
                reason=str(SuspensionReason.LEAK_REPORTED),
            )
