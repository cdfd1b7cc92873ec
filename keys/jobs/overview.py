"""Show how every job is: when it ran, when it will, what is due and for how long, what failed and what a worker left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count

from audit import clock
from audit.actor import Actor
from keys.jobs.due import Due, due_by
from keys.jobs.kinds import KINDS, Kind
from keys.models import JobLease, JobRun, JobSchedule, Rotation, WebhookEndpoint
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.job_rules import may_read_jobs

# DESIGN, invariant 10: an effect within 60 s.
LATE: Final = timedelta(seconds=60)
RECENT: Final = timedelta(days=1)
MOST_SHOWN: Final = 50


@dataclass(frozen=True, kw_only=True)
class JobState:
    """One kind of job as it is now."""

    kind: Kind
    schedule: JobSchedule | None
    last: JobRun | None
    due: Due | None
    late: timedelta
    failed: int
    died: int
    troubled: int
    at: datetime

    @property
    def period(self) -> timedelta:
        seconds = self.kind.period if self.schedule is None else self.schedule.period_seconds
        return timedelta(seconds=seconds)

    @property
    def period_seconds(self) -> int:
        return int(self.period.total_seconds())

    @property
    def late_seconds(self) -> int:
        return int(self.late.total_seconds())

    @property
    def next_at(self) -> datetime:
        """When the next slot begins."""
        seconds = self.period.total_seconds()
        begun = self.at.timestamp() // seconds * seconds
        return datetime.fromtimestamp(begun + seconds, tz=self.at.tzinfo)

    @property
    def is_late(self) -> bool:
        return self.late > LATE

    @property
    def is_failing(self) -> bool:
        """Whether its newest run failed, or a row could not be done."""
        return bool(self.troubled or (self.last is not None and self.last.code))

    @property
    def is_well(self) -> bool:
        return not (self.is_late or self.is_failing)


@operation
def read_jobs(*, actor: Actor) -> list[JobState]:
    """Return every kind of job as it is."""
    at = clock.now()
    enforce(may_read_jobs(standing_of(actor, at=at)), hidden=True)
    return job_states(at)


@operation
def read_troubled_rows(*, actor: Actor) -> list[JobLease]:
    """Return the rows that could not be done, and those that a worker left in the middle, the oldest first."""
    at = clock.now()
    enforce(may_read_jobs(standing_of(actor, at=at)), hidden=True)
    return list(JobLease.objects.troubled(at)[:MOST_SHOWN])


def job_states(at: datetime) -> list[JobState]:
    """How every kind of job is at `at`, for the health of the site."""
    schedules = {each.kind: each for each in JobSchedule.objects.all()}
    runs = {each.kind: each for each in JobRun.objects.newest()}
    recent = JobRun.objects.filter(slot__gt=at - RECENT)
    failed = _by_kind(recent.failed())
    died = _by_kind(recent.died(at))
    troubled = Counter(JobLease.objects.troubled(at).values_list("kind", flat=True))
    found = []
    for name, kind in KINDS.items():
        schedule, last, due = schedules.get(name), runs.get(name), due_by(name, at)
        found.append(
            JobState(
                kind=kind,
                schedule=schedule,
                last=last,
                due=due,
                late=_late(kind, schedule, last, due, at=at),
                failed=failed.get(name, 0),
                died=died.get(name, 0),
                troubled=troubled[name],
                at=at,
            )
        )
    return found


def stuck_rotations(at: datetime) -> int:
    """How many rotations somebody should look at."""
    return Rotation.objects.late(at).count()


def webhook_endpoints() -> tuple[int, int]:
    """How many endpoints there are, and how many of them were given up."""
    living = WebhookEndpoint.objects.living()
    return living.count(), living.filter(disabled_reason__in=("failing", "gone")).count()


def _late(kind: Kind, schedule: JobSchedule | None, last: JobRun | None, due: Due | None, *, at: datetime) -> timedelta:
    """How long the oldest due row waits, or the slot that nobody came for, whichever is longer."""
    waits = at - due.oldest if due is not None and due.oldest is not None else timedelta()
    if last is None:
        since = schedule.created_at if schedule is not None else at
        return max(waits, at - since)
    period = timedelta(seconds=kind.period if schedule is None else schedule.period_seconds)
    return max(waits, at - (last.slot + period), timedelta())


def _by_kind(runs: object) -> dict[str, int]:
    counted = runs.order_by().values("kind").annotate(n=Count("pk"))  # type: ignore[attr-defined]
    return {each["kind"]: each["n"] for each in counted}
