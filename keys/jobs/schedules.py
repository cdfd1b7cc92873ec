"""Say how often each kind of job runs: rows that administrators see and change, within what the promises allow."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor
from keys.errors import Invalid
from keys.events import ScheduleChanged, ScheduleCreated
from keys.jobs.kinds import KINDS
from keys.models import JobSchedule
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.job_rules import may_change_schedule


@operation
def create_schedules(*, actor: Actor) -> int:
    """Write a row for each kind that has none; safe to run at every start. Returns how many were written."""
    at = clock.now()
    enforce(may_change_schedule(actor, standing_of(actor, at=at), at=at))
    known = set(JobSchedule.objects.values_list("kind", flat=True))
    missing = [kind for name, kind in KINDS.items() if name not in known]
    for kind in missing:
        row = JobSchedule(kind=kind.name, period_seconds=kind.period, created_at=at)
        insert(row, ScheduleCreated, actor=actor, at=at)
    return len(missing)


@operation
def change_schedule(schedule: JobSchedule, *, period_seconds: int, actor: Actor) -> JobSchedule:
    """Run a kind of job more or less often: never more often than it is woken, never so seldom that a promise breaks."""
    schedule = locked(schedule)
    at = clock.now()
    enforce(may_change_schedule(actor, standing_of(actor, at=at), at=at))
    kind = KINDS.get(schedule.kind)
    if kind is None:
        raise Invalid.field("kind", "unknown_choice", choices=sorted(KINDS))
    if not kind.wake <= period_seconds <= kind.longest:
        raise Invalid.field("period_seconds", "out_of_range", least=kind.wake, most=kind.longest)
    if period_seconds == schedule.period_seconds:
        return schedule
    return update(
        schedule,
        ScheduleChanged,
        actor=actor,
        at=at,
        expected={"period_seconds": schedule.period_seconds},
        columns={"period_seconds": period_seconds},
    )
