"""List what can happen to the schedules of jobs."""

from __future__ import annotations

from audit.events import Event, Severity

SCHEDULE = frozenset("id created_at kind period_seconds".split())


class ScheduleCreated(Event):
    """A kind of job got its first schedule."""

    action = "schedule.created"
    target_type = "schedule"
    change_fields = SCHEDULE


class ScheduleChanged(Event):
    """A kind of job runs more or less often from now on."""

    action = "schedule.changed"
    target_type = "schedule"
    severity = Severity.LOW
    change_fields = SCHEDULE
