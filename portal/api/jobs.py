"""See how every job is, and say how often each runs. Programs do not: it is no part of any team's keys."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import NotFound
from keys.jobs.overview import JobState, read_jobs, read_troubled_rows
from keys.jobs.schedules import change_schedule
from keys.models import JobSchedule
from portal.api.doors import Door, offered
from portal.api.fields import Body, WholeNumber

S = serializers
SEES = "administrator responder auditor"


class JobOut(S.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """One kind of job as it is now. `late_seconds`: how long the oldest due row or the last slot has waited too long."""

    kind = S.CharField(source="kind.name")
    period_seconds = S.IntegerField()
    least_seconds = S.IntegerField(source="kind.wake")
    most_seconds = S.IntegerField(source="kind.longest")
    is_well = S.BooleanField()
    last_run_at = S.DateTimeField(source="last.started_at", allow_null=True, default=None)
    last_done = S.IntegerField(source="last.done", allow_null=True, default=None)
    last_code = S.CharField(source="last.code", allow_null=True, default=None)
    last_attempts = S.IntegerField(source="last.attempts", allow_null=True, default=None)
    next_at = S.DateTimeField()
    due = S.IntegerField(source="due.count", allow_null=True, default=None)
    oldest_due_at = S.DateTimeField(source="due.oldest", allow_null=True, default=None)
    late_seconds = S.IntegerField()
    failed_in_a_day = S.IntegerField(source="failed")
    left_by_workers_in_a_day = S.IntegerField(source="died")
    rows_in_trouble = S.IntegerField(source="troubled")


class TroubledRowOut(S.Serializer):  # type: ignore[type-arg]
    """One row that could not be done (`code` says why), or that a worker left in the middle (no code)."""

    kind = S.CharField()
    step = S.CharField()
    subject_type = S.CharField()
    subject_id = S.UUIDField()
    code = S.CharField()
    attempts = S.IntegerField()
    worker = S.CharField()
    first_taken_at = S.DateTimeField()
    free_at = S.DateTimeField(help_text="When it is tried again.")


class JobsOut(S.Serializer):  # type: ignore[type-arg]
    """All jobs, and the rows that are in trouble, the oldest first."""

    jobs = JobOut(many=True)
    troubled_rows = TroubledRowOut(many=True)


class ScheduleBody(Body):
    """How often."""

    period_seconds = WholeNumber(min_value=1, max_value=2**31 - 1)


class ScheduleOut(S.Serializer):  # type: ignore[type-arg]
    """How often a kind of job runs."""

    kind = S.CharField()
    period_seconds = S.IntegerField()


class Jobs(Door):
    """How every job is."""

    @offered("jobs_list", gives=JobsOut, yes=SEES, hidden="developer approver stranger", tag="jobs")
    def get(self, request: Request) -> Response:
        """Read the jobs: when each ran and will, what is due and how late, what failed and why."""
        states: list[JobState] = read_jobs(actor=self.actor)
        found: dict[str, Any] = {"jobs": states, "troubled_rows": read_troubled_rows(actor=self.actor)}  # Any: rows
        return self.show(JobsOut, found)


class JobSchedules(Door):
    """How often one kind of job runs."""

    @offered(
        "jobs_reschedule",
        takes=ScheduleBody,
        gives=ScheduleOut,
        yes="administrator",
        hidden="developer approver stranger",
        tag="jobs",
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Run a kind of job more or less often, within what is promised."""
        schedule = JobSchedule.objects.visible_to(self.actor).filter(kind=id).first()
        if schedule is None:
            raise NotFound
        body = self.read(ScheduleBody)
        return self.show(ScheduleOut, change_schedule(schedule, actor=self.actor, **body))
