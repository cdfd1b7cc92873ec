"""Write the state of a rotation: the only place that does, one event a step, always under the lock of its key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from audit.actor import Actor
from audit.events import Event
from keys.errors import Conflict
from keys.events import (
    RotationAborted,
    RotationActivated,
    RotationCompleted,
    RotationDrained,
    RotationHandedOver,
    RotationPrepared,
    RotationRolledBack,
    RotationScheduled,
)
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.operations import insert, update
from keys.policy.rotation_plan import plan_in
from keys.states import OVERLAP_PERIODS, ROTATION_MOVES, Overlap, RotationCause, RotationState

EVENTS: dict[RotationState, type[Event]] = {
    RotationState.SCHEDULED: RotationScheduled,
    RotationState.PREPARED: RotationPrepared,
    RotationState.HANDED_OVER: RotationHandedOver,
    RotationState.ACTIVATED: RotationActivated,
    RotationState.DRAINING: RotationDrained,
    RotationState.COMPLETED: RotationCompleted,
    RotationState.ABORTED: RotationAborted,
    RotationState.ROLLED_BACK: RotationRolledBack,
}
LEAD = timedelta(days=14)


def open_rotation(key: ManagedKey) -> Rotation | None:
    """The open rotation of a locked key, locked."""
    rotation = Rotation.objects.open().select_for_update(of=("self",), no_key=True).filter(managed_key=key).first()
    if rotation is not None:
        rotation.managed_key = key
    return rotation


def begin_rotation(
    key: ManagedKey,
    *,
    state: RotationState,
    cause: RotationCause,
    overlap: Overlap,
    actor: Actor,
    at: datetime,
    **columns: Any,
) -> Rotation:
    """Write the first row of a rotation of a locked key that has none open."""
    columns = {"due_at": at, **columns}
    rotation = Rotation(
        managed_key=key,
        created_at=at,
        state=str(state),
        cause=str(cause),
        overlap=str(overlap),
        started_by=f"{actor.kind}:{actor.id}",
        **columns,
    )
    return insert(rotation, EVENTS[state], actor=actor, at=at, environment=key.environment.tag)


def move_rotation(
    rotation: Rotation,
    state: RotationState,
    *,
    actor: Actor,
    at: datetime,
    columns: dict[str, Any] | None = None,
    reason: str = "",
    event: type[Event] | None = None,
) -> Rotation:
    """Move a locked rotation to `state`; raises Conflict when that move does not exist.

    `event`: one that tells more than the usual one of that state.
    """
    now = RotationState(rotation.state)
    if state not in ROTATION_MOVES[now]:
        raise Conflict("wrong_rotation_state", state=str(now), wanted=str(state))
    columns = {"state": str(state), **(columns or {})}
    if not ROTATION_MOVES[state]:
        columns |= {"ended_at": at, "ended_reason": reason or str(state)}
    return update(
        rotation,
        event or EVENTS[state],
        actor=actor,
        at=at,
        expected={"state": rotation.state},
        columns=columns,
        reason=reason,
        environment=rotation.managed_key.environment.tag,
    )


def hasten(rotation: Rotation, *, due_at: datetime, cause: RotationCause, actor: Actor, at: datetime) -> Rotation:
    """Give a scheduled rotation an earlier date, and say why; never a later one."""
    if rotation.state != RotationState.SCHEDULED or due_at >= rotation.due_at:
        raise Conflict("wrong_rotation_state", state=rotation.state, wanted=str(RotationState.SCHEDULED))
    return update(
        rotation,
        RotationScheduled,
        actor=actor,
        at=at,
        expected={"state": rotation.state, "due_at": rotation.due_at},
        columns={"due_at": due_at, "cause": str(cause)},
        environment=rotation.managed_key.environment.tag,
    )


def plan_of(key: ManagedKey) -> tuple[Overlap, int | None]:
    """The overlap that was approved with the key, and after how many days it rotates, where that is fixed."""
    plan = plan_in(key.rotation)
    return plan.overlap, plan.every_days


def schedule_next(
    key: ManagedKey, version: KeyVersion, *, actor: Actor, at: datetime, not_before: datetime | None = None
) -> Rotation | None:
    """Give a locked key the date of its next rotation, unless one is open or no other version could outlive this one.

    Early enough that people can act and the overlap fits before the version ends; never in its first half.
    """
    if key.revoked_at is not None or version.expires_at is None or open_rotation(key) is not None:
        return None
    if version.expires_at >= key.authorised_until:
        return None  # what follows then is a renewal, and that is a request
    overlap, every_days = plan_of(key)
    lead = max(LEAD, 3 * OVERLAP_PERIODS.get(overlap, OVERLAP_PERIODS[Overlap.WEEK]))
    begin = version.activated_at or at
    due_at = max(version.expires_at - lead, begin + (version.expires_at - begin) / 2)
    if every_days is not None:
        due_at = min(due_at, begin + timedelta(days=every_days))
    if not_before is not None:
        due_at = max(due_at, not_before)
    return begin_rotation(
        key,
        state=RotationState.SCHEDULED,
        cause=RotationCause.SCHEDULE,
        overlap=overlap,
        actor=actor,
        at=at,
        due_at=due_at,
        old_version=version,
    )
