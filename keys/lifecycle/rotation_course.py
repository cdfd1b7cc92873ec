"""Take the replacement of a secret through its course: prepare, hand over, let the old version drain, finish.

The key keeps its id, name, scopes, environment, networks and authorisation. Until somebody known holds the new secret the
old version is never bounded by the rotation; afterwards it ends by its own committed `retire_at` (DESIGN, invariants 3 and 4).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from audit.actor import Actor
from keys.errors import Conflict
from keys.events import VersionDeactivated, VersionRetirementSet
from keys.lifecycle.inventory import lives
from keys.lifecycle.issuance import refuse_if_suspended
from keys.lifecycle.rotation_steps import begin_rotation, move_rotation, open_rotation, schedule_next
from keys.lifecycle.transitions import change_version, create_version, move_version
from keys.models import KeyVersion, ManagedKey, Rotation, UsageCount
from keys.states import (
    LIVING_VERSION_STATES,
    OVERLAP_PERIODS,
    VALID,
    WAITING_ROTATION_STATES,
    Overlap,
    RotationCause,
    RotationState,
    VersionState,
)

BEFORE_ACTIVATION = (RotationState.SCHEDULED, *WAITING_ROTATION_STATES)


def go_on_after_hand_over(version: KeyVersion, versions: list[KeyVersion], *, actor: Actor, at: datetime) -> None:
    """Go on when `version` was just activated: bound the one before as far as the overlap says, end all others.

    At most two versions of a key verify at once (DESIGN, invariant 4). Part of a larger operation; versions newest first.
    """
    key = version.managed_key
    rotation = open_rotation(key)
    if rotation is not None and rotation.new_version_id != version.pk:
        rotation = abort(rotation, versions, actor=actor, at=at, reason="replaced")
    older = [each for each in versions if each.sequence < version.sequence]
    working = [each for each in older if each.state == VersionState.ACTIVE and lives(each, at=at)]
    before = _in_use(working)
    for each in older:
        if each is not before and each.state in (VersionState.ACTIVE, VersionState.SUSPENDED):
            end_version_of(each, reason="superseded", actor=actor, at=at)
    if rotation is None or rotation.new_version_id != version.pk:
        schedule_next(key, version, actor=actor, at=at)
        return
    columns = {"activated_at": at, "old_version": before}
    rotation = move_rotation(rotation, RotationState.ACTIVATED, actor=actor, at=at, columns=columns)
    if before is None:
        complete(rotation, actor=actor, at=at)
        return
    period, longest = OVERLAP_PERIODS.get(Overlap(rotation.overlap)), longest_overlap(key)
    if before is not working[0] and before.retire_at is not None:
        # It was ending already, and does not live longer because its first successor was lost.
        drain(rotation, before, retire_at=before.retire_at, actor=actor, at=at)
    elif period is None:
        # Ends when it is idle, or the new one was used; the policy's bound holds even if nobody ever looks.
        retire(before, retire_at=at + longest, actor=actor, at=at)
    else:
        drain(rotation, before, retire_at=at + min(period, longest), actor=actor, at=at)


def _in_use(working: list[KeyVersion]) -> KeyVersion | None:
    """The version that programs present, of those that work: a newer one that nobody ever used was lost on the way to them."""
    if len(working) < 2:
        return next(iter(working), None)
    used = UsageCount.objects.filter(version__in=working, outcome=VALID).values_list("version_id", flat=True)
    return next((each for each in working if each.pk in set(used)), working[0])


def drain(rotation: Rotation, old: KeyVersion, *, retire_at: datetime, actor: Actor, at: datetime) -> None:
    """Give the old version its end, and say so of the rotation. Part of a larger operation."""
    retire(old, retire_at=retire_at, actor=actor, at=at)
    move_rotation(rotation, RotationState.DRAINING, actor=actor, at=at)


def retire(old: KeyVersion, *, retire_at: datetime, actor: Actor, at: datetime) -> None:
    """Commit to when a version ends: never later than it ends anyway. Part of a larger operation."""
    ends_at = retire_at if old.expires_at is None else min(retire_at, old.expires_at)
    change_version(old, VersionRetirementSet, actor=actor, at=at, columns={"retire_at": ends_at})


def longest_overlap(key: ManagedKey) -> timedelta:
    """How long two versions of a key may verify, by its policy."""
    return timedelta(hours=key.policy.longest_overlap_hours) if key.policy else OVERLAP_PERIODS[Overlap.WEEK]


def claim_period(key: ManagedKey) -> timedelta:
    """How long a secret may wait to be taken, by the key's policy."""
    return timedelta(hours=key.policy.claim_hours if key.policy else 72)


def prepare_again(rotation: Rotation, versions: list[KeyVersion], *, actor: Actor, at: datetime) -> Rotation:
    """Let another version wait instead of the one that a client fetched and did not activate; that one is dead for ever.

    Part of a larger operation.
    """
    columns = {
        "new_version": next_version(rotation.managed_key, versions, actor=actor, at=at),
        "handed_over_at": None,
        "fetch_token": "",
    }
    return move_rotation(rotation, RotationState.PREPARED, actor=actor, at=at, columns=columns)


def abort(rotation: Rotation, versions: list[KeyVersion], *, actor: Actor, at: datetime, reason: str) -> Rotation:
    """Stop a locked rotation wherever it is, and end a new version that nobody holds yet; part of a larger operation."""
    new = version_of(versions, rotation.new_version_id)
    if new is not None and new.activated_at is None and new.state in LIVING_VERSION_STATES:
        end_version_of(new, reason="superseded", actor=actor, at=at)
    return move_rotation(rotation, RotationState.ABORTED, actor=actor, at=at, reason=reason)


def refuse_if_it_cannot_rotate(key: ManagedKey, versions: list[KeyVersion], *, at: datetime) -> None:
    """Refuse what no replacement helps: a key that is over, that somebody stopped on purpose, or whose next secret waits already."""
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    if at >= key.authorised_until:
        raise Conflict("authorisation_over")
    refuse_if_suspended(versions)
    if any(each.state == VersionState.PRE_ACTIVATION and lives(each, at=at) for each in versions):
        raise Conflict("version_waits_for_claim")


def begin(
    key: ManagedKey,
    versions: list[KeyVersion],
    *,
    cause: RotationCause,
    overlap: Overlap,
    actor: Actor,
    at: datetime,
) -> Rotation:
    """Start a rotation of a locked key that has none open, at its second step."""
    return begin_rotation(
        key,
        state=RotationState.PREPARED,
        cause=cause,
        overlap=overlap,
        actor=actor,
        at=at,
        prepared_at=at,
        old_version=working_version(versions, at=at),
        new_version=next_version(key, versions, actor=actor, at=at),
    )


def prepare(
    rotation: Rotation,
    versions: list[KeyVersion],
    *,
    actor: Actor,
    at: datetime,
    columns: dict[str, object] | None = None,
) -> Rotation:
    """Let the next version of a locked key wait for whoever may have its secret."""
    key = rotation.managed_key = versions[0].managed_key
    old, new = working_version(versions, at=at), next_version(key, versions, actor=actor, at=at)
    if key.policy is not None and key.policy.deadline_wins and old is not None:
        retire(old, retire_at=at + claim_period(key), actor=actor, at=at)
    told = {"prepared_at": at, "old_version": old, "new_version": new, **(columns or {})}
    return move_rotation(rotation, RotationState.PREPARED, actor=actor, at=at, columns=told)


def version_of(versions: list[KeyVersion], pk: UUID | None) -> KeyVersion | None:
    """The version with that id among the locked ones."""
    return next((each for each in versions if each.pk == pk), None)


def working_version(versions: list[KeyVersion], *, at: datetime) -> KeyVersion | None:
    """The newest version that verifies, of those of a key, newest first."""
    return next((each for each in versions if each.state == VersionState.ACTIVE and lives(each, at=at)), None)


def next_version(key: ManagedKey, versions: list[KeyVersion], *, actor: Actor, at: datetime) -> KeyVersion:
    """Make the next version. Its secret may be claimed as long as the old one works, and at least the policy's hours."""
    for each in versions:
        # Not claimed in time and not yet written down, or suspended before anybody had its secret.
        if each.activated_at is None and each.state in LIVING_VERSION_STATES:
            lapsed = each.claim_until <= at
            ended = (each.claim_until, "claim-lapsed") if lapsed else (at, "superseded")
            end_version_of(each, reason=ended[1], actor=actor, at=at, ended_at=ended[0])
    until = at + claim_period(key)
    working = working_version(versions, at=at)
    if working is not None and working.expires_at is not None:
        until = max(until, working.expires_at)
    return create_version(key, claim_until=until, actor=actor, at=at)


def end_version_of(
    version: KeyVersion,
    *,
    reason: str,
    actor: Actor,
    at: datetime,
    ended_at: datetime | None = None,
    correlation: str = "",
) -> None:
    """End a version for `reason`; part of a larger operation."""
    move_version(
        version,
        VersionState.DEACTIVATED,
        VersionDeactivated,
        actor=actor,
        at=at,
        columns={"ended_at": ended_at or at, "ended_reason": reason},
        reason=reason,
        correlation=correlation,
    )


def leave(rotation: Rotation, *, actor: Actor, at: datetime) -> None:
    """End a rotation in favour of the next one."""
    before = rotation.state in BEFORE_ACTIVATION
    state = RotationState.ABORTED if before else RotationState.COMPLETED
    move_rotation(rotation, state, actor=actor, at=at, reason="replaced")


def complete(rotation: Rotation, *, actor: Actor, at: datetime) -> None:
    """End a rotation whose old version has ended, and give the key its next one. Part of a larger operation."""
    key, new = rotation.managed_key, rotation.new_version
    move_rotation(rotation, RotationState.COMPLETED, actor=actor, at=at)
    if new is not None:
        schedule_next(key, new, actor=actor, at=at)
