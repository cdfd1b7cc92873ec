"""Give each slot of each kind one run: two schedulers, ten deliveries of a message and three workers make no second one.

A slot is a piece of the database's time. Its row is taken by whoever writes it first. One whose worker fell silent, or whose
run failed, is taken again within its slot after a pause; a slot that nobody came for is not made up, because what is due
stands in rows and the next run finds it.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import structlog
from django.db import DatabaseError, connection

from audit import clock
from keys.errors import KeysError
from keys.jobs.kinds import Kind
from keys.leases import kept
from keys.models import JobLease, JobRun, JobSchedule

LEASE: Final = timedelta(seconds=30)
PAUSE: Final = timedelta(seconds=10)
# A day of runs is enough to see a pattern; what failed is kept for a month.
KEPT: Final = timedelta(hours=1)
KEPT_SLOW: Final = timedelta(days=2)
KEPT_FAILED: Final = timedelta(days=30)
KEPT_LEASE: Final = timedelta(hours=2)
SLOW: Final = timedelta(minutes=1)
LONGEST_CODE: Final = 60

log = structlog.get_logger(__name__)

_TAKE = """
INSERT INTO keys_jobrun AS run (kind, slot, attempts, worker, started_at, free_at, done, failures, code)
SELECT %(kind)s, to_timestamp(floor(extract(epoch FROM moment.at) / %(period)s) * %(period)s), 1, %(worker)s,
    moment.at, moment.at + %(lease)s, 0, 0, ''
FROM (SELECT clock_timestamp() AS at) AS moment
ON CONFLICT (kind, slot) DO UPDATE
SET attempts = least(run.attempts + 1, 32767), worker = excluded.worker, started_at = excluded.started_at,
    free_at = excluded.free_at, ended_at = NULL, code = ''
WHERE run.free_at <= excluded.started_at AND (run.ended_at IS NULL OR run.code <> '')
RETURNING id, attempts, started_at
"""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A run in the hands of this worker: what it writes asks for this very attempt."""

    run_id: int
    kind: str
    attempt: int
    started_at: datetime


def run_slot(kind: Kind, work: Callable[[], int]) -> int:
    """Do `work` if nobody has done it in this slot; returns what it returned, 0 when somebody else has the slot."""
    taken = take(kind)
    if taken is None:
        return 0
    with kept(lambda: still(taken)):
        try:
            done = work()
        except Exception as error:
            _end_failed(taken, code_of(error))
            raise
        end(taken, done=done)
    return done


def take(kind: Kind) -> Taken | None:
    """Write the row of the slot that is now, or take over the one that somebody left; None when it is taken or done."""
    values: dict[str, Any] = {  # Any: what the driver takes
        "kind": kind.name,
        "period": period_of(kind),
        "worker": worker_name(),
        "lease": LEASE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        row = cursor.fetchone()
    return None if row is None else Taken(run_id=row[0], kind=kind.name, attempt=row[1], started_at=row[2])


def still(taken: Taken) -> None:
    """Say that we live."""
    _ours(taken, free_at=clock.now() + LEASE)


def end(taken: Taken, *, done: int, code: str = "") -> bool:
    """Write what came of it; False when somebody else has taken the slot over meanwhile."""
    at = clock.now()
    failed = JobLease.objects.filter(kind=taken.kind, taken_at__gte=taken.started_at).exclude(code="").count()
    free_at = at + min(PAUSE * 2 ** (taken.attempt - 1), timedelta(hours=1)) if code else at
    return _ours(taken, ended_at=at, free_at=free_at, done=max(done, 0), failures=failed + bool(code), code=code)


def _end_failed(taken: Taken, code: str) -> None:
    try:
        end(taken, done=0, code=code)
    except DatabaseError:
        log.warning("run_not_noted", kind=taken.kind, code=code)  # its lease ends by itself


def _ours(taken: Taken, **columns: object) -> bool:
    return bool(JobRun.objects.filter(pk=taken.run_id, attempts=taken.attempt, ended_at=None).update(**columns))


def period_of(kind: Kind) -> int:
    """How long a slot is, in seconds: as the row says, and without a row as the code does."""
    period = JobSchedule.objects.filter(kind=kind.name).values_list("period_seconds", flat=True).first()
    return kind.period if period is None else period


def forget_runs() -> int:
    """Delete runs and leases that tell nothing any more."""
    at = clock.now()
    runs = JobRun.objects.exclude(ended_at=None)
    slow = JobSchedule.objects.filter(period_seconds__gte=SLOW.total_seconds()).values("kind")
    old = runs.filter(code="", slot__lt=at - KEPT).exclude(kind__in=slow)
    old_slow = runs.filter(code="", slot__lt=at - KEPT_SLOW)
    # A row that is still due was taken again long before: what nobody came back to is not due any more.
    left = JobLease.objects.filter(free_at__lt=at - KEPT_LEASE)
    deleted = sum(each.delete()[0] for each in (old, old_slow, left))
    return deleted + JobRun.objects.filter(slot__lt=at - KEPT_FAILED).delete()[0]


def code_of(error: Exception) -> str:
    """A word for what went wrong. Never the message: it may quote a row."""
    if isinstance(error, KeysError):
        return error.code[:LONGEST_CODE]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).lower()[:LONGEST_CODE]


@cache
def _host() -> str:
    return socket.gethostname()[:60]


def worker_name() -> str:
    """Which process this is, for whoever looks for its log."""
    return f"{_host()}:{os.getpid()}"
