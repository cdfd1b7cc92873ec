"""Store how often each job runs, its runs slot by slot, and which rows a worker holds or could not do."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row
from keys.models.reach import reach_of


class JobScheduleQuerySet(models.QuerySet["JobSchedule"]):
    """Ways to find schedules."""

    def visible_to(self, actor: Actor | None) -> JobScheduleQuerySet:
        """Those who answer for the whole see how it is kept going."""
        return self if reach_of(actor).everything else self.none()


@governed("schedule")
class JobSchedule(Row):
    """How often one kind of job runs: time is cut into slots of this length, and each slot has one run."""

    kind = models.CharField(max_length=40, unique=True)
    period_seconds = models.PositiveIntegerField()

    objects = JobScheduleQuerySet.as_manager()

    class Meta:
        ordering = ("kind",)
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(period_seconds__gt=0), name="schedule_has_a_period")
        ]

    def __str__(self) -> str:
        return self.kind


class JobRunQuerySet(models.QuerySet["JobRun"]):
    """Ways to find runs."""

    def newest(self) -> JobRunQuerySet:
        """The newest of each kind."""
        return self.order_by("kind", "-slot").distinct("kind")

    def failed(self) -> JobRunQuerySet:
        return self.exclude(code="")

    def died(self, at: datetime) -> JobRunQuerySet:
        """Those whose worker has fallen silent before the end."""
        return self.filter(ended_at=None, free_at__lte=at)


class JobRun(models.Model):
    """One run of one kind of job in one slot, however many messages asked for it."""

    kind = models.CharField(max_length=40)
    slot = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=1)
    worker = models.CharField(max_length=80)
    started_at = models.DateTimeField()
    # Until then nobody else takes it: the worker's lease while it runs, a pause after a failure.
    free_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    done = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    code = models.CharField(max_length=60, blank=True, default="")

    objects = JobRunQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint("kind", "slot", name="run_once_a_slot")]
        indexes: ClassVar = [
            models.Index("kind", "slot", condition=~Q(code=""), name="run_failed"),
            models.Index("free_at", condition=Q(ended_at=None), name="run_open"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.slot:%Y-%m-%d %H:%M:%S}"


class JobLeaseQuerySet(models.QuerySet["JobLease"]):
    """Ways to find leases."""

    def held(self, step: str, at: datetime) -> JobLeaseQuerySet:
        """What nobody takes now: a worker is at it, or it failed a moment ago."""
        return self.filter(step=step, free_at__gt=at)

    def troubled(self, at: datetime) -> JobLeaseQuerySet:
        """What could not be done, and what a worker left in the middle."""
        return self.filter(~Q(code="") | Q(free_at__lte=at))


class JobLease(models.Model):
    """One due row in the hands of a worker. It goes when the step is done, and stays with a code when it could not be."""

    kind = models.CharField(max_length=40)
    step = models.CharField(max_length=40)
    subject_type = models.CharField(max_length=20)
    subject_id = models.UUIDField()
    attempts = models.PositiveSmallIntegerField(default=1)
    worker = models.CharField(max_length=80)
    taken_at = models.DateTimeField()
    first_taken_at = models.DateTimeField()
    free_at = models.DateTimeField()
    code = models.CharField(max_length=60, blank=True, default="")

    objects = JobLeaseQuerySet.as_manager()

    class Meta:
        ordering = ("first_taken_at", "id")
        constraints: ClassVar = [models.UniqueConstraint("step", "subject_id", name="lease_once_a_step")]

    def __str__(self) -> str:
        return f"{self.step} {self.subject_id}"
