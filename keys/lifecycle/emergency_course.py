"""Say what an emergency does to one locked key: end it, or have its secret replaced with the shortest overlap."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from keys.crypto.key_text import new_kid
from keys.errors import Conflict
from keys.events import KeyRevoked, VersionCompromised, VersionCreated, VersionDeactivated, VersionRetirementSet
from keys.lifecycle.issuance import refuse_if_suspended
from keys.lifecycle.many_changes import ManyChanges
from keys.lifecycle.rotation_course import claim_period, working_version
from keys.lifecycle.rotation_steps import EVENTS
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.sealing import mac_of
from keys.states import (
    LIVING_VERSION_STATES,
    WAITING_ROTATION_STATES,
    Overlap,
    RevocationReason,
    RotationCause,
    RotationState,
    VersionState,
)


def end_key(
    key: ManagedKey,
    versions: list[KeyVersion],
    rotation: Rotation | None,
    changes: ManyChanges,
    *,
    reason: RevocationReason,
) -> None:
    """End a key, all its versions and its rotation, as revoke_key does one."""
    at = changes.at
    changes.change(
        key,
        KeyRevoked,
        columns={"revoked_at": at, "revoked_reason": str(reason), "revoked_by": changes.actor.id},
        compared="revoked_at",
        reason=str(reason),
        environment=key.environment.tag,
    )
    leaked = reason == RevocationReason.KEY_COMPROMISE
    for version in versions:
        if version.state in LIVING_VERSION_STATES:
            changes.move_version(
                version,
                VersionState.COMPROMISED if leaked else VersionState.DEACTIVATED,
                VersionCompromised if leaked else VersionDeactivated,
                columns={"ended_at": at, "ended_reason": str(reason)},
                reason=str(reason),
            )
    if rotation is not None:
        _end_rotation(rotation, RotationState.ABORTED, changes, reason="key-revoked")


def why_not_rotated(key: ManagedKey, versions: list[KeyVersion], rotation: Rotation | None, *, at: datetime) -> str:
    """Why the secret of a key that is not revoked cannot be replaced, as a reason of the record; empty when it can."""
    if at >= key.authorised_until:
        return "authorisation-over"
    try:
        refuse_if_suspended(versions)
    except Conflict as conflict:
        return conflict.code.replace("_", "-")
    if working_version(versions, at=at) is None:
        return "nothing-works"
    if (
        rotation is not None
        and rotation.cause == RotationCause.COMPROMISE
        and rotation.state in WAITING_ROTATION_STATES
    ):
        return "already-rotating"
    return ""


def rotate_key(key: ManagedKey, versions: list[KeyVersion], rotation: Rotation | None, changes: ManyChanges) -> None:
    """Let the next version wait; the present one works until somebody has that, and ends at once then.

    A version that waited already goes: whoever knows the old secret may have been about to fetch it.
    """
    at = changes.at
    old = working_version(versions, at=at)
    for each in versions:
        if each.activated_at is None and each.state in LIVING_VERSION_STATES:
            lapsed = each.claim_until <= at
            ended_at, reason = (each.claim_until, "claim-lapsed") if lapsed else (at, "superseded")
            changes.move_version(
                each,
                VersionState.DEACTIVATED,
                VersionDeactivated,
                columns={"ended_at": ended_at, "ended_reason": reason},
                reason=reason,
            )
    until = at + claim_period(key)
    if key.policy is not None and key.policy.deadline_wins and old is not None:
        ends_at = until if old.expires_at is None else min(until, old.expires_at)
        changes.move_version(old, VersionState(old.state), VersionRetirementSet, columns={"retire_at": ends_at})
    if old is not None and old.expires_at is not None:
        until = max(until, old.expires_at)
    new = KeyVersion(
        managed_key=key,
        sequence=max(each.sequence for each in versions) + 1,
        kid=new_kid(),
        created_at=at,
        claim_until=min(until, key.authorised_until),
    )
    new.row_mac = mac_of(new)
    changes.add(new, VersionCreated, environment=key.environment.tag)
    columns = {
        "state": str(RotationState.PREPARED),
        "cause": str(RotationCause.COMPROMISE),
        "overlap": str(Overlap.NOW),
        "prepared_at": at,
        "old_version": old,
        "new_version": new,
    }
    if rotation is not None and rotation.state == RotationState.SCHEDULED:
        _change_rotation(rotation, RotationState.PREPARED, changes, columns=columns)
        return
    if rotation is not None:
        waits = rotation.state in WAITING_ROTATION_STATES
        _end_rotation(rotation, RotationState.ABORTED if waits else RotationState.COMPLETED, changes, reason="replaced")
    begun = Rotation(
        managed_key=key,
        created_at=at,
        due_at=at,
        started_by=f"{changes.actor.kind}:{changes.actor.id}",
        **columns,
    )
    changes.add(begun, EVENTS[RotationState.PREPARED], environment=key.environment.tag)


def _end_rotation(rotation: Rotation, state: RotationState, changes: ManyChanges, *, reason: str) -> None:
    columns = {"state": str(state), "ended_at": changes.at, "ended_reason": reason}
    _change_rotation(rotation, state, changes, columns=columns, reason=reason)


def _change_rotation(
    rotation: Rotation, state: RotationState, changes: ManyChanges, *, columns: dict[str, Any], reason: str = ""
) -> None:
    environment = rotation.managed_key.environment.tag
    changes.change(rotation, EVENTS[state], columns=columns, compared="state", reason=reason, environment=environment)
