"""Do one step for each due row: several workers share a sweep, and a row that cannot be done holds up no other.

A row is taken by a lease of its own, a chunk at a time. It goes with the success; a failure stays as a code beside the row,
which is tried again later and later. A worker that is killed leaves leases that end by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet

from audit import clock
from audit.actor import Actor
from audit.governed import governed_of
from keys.errors import KeysError, Unavailable
from keys.jobs.runs import code_of, worker_name
from keys.models import JobLease

SWEEP: Final = 500
CHUNK: Final = 20
LEASE: Final = timedelta(seconds=30)
# Tried again after these; then it is for a person, who sees it, and is tried every hour all the same.
PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (20, 60, 300, 900, 3600))
# Below the time limit of a task, so that a long backlog ends in order.
LONGEST_SECONDS: Final = 60.0
# Not the row's fault: the next row would meet the same.
EVERYBODYS: Final = (Unavailable, OperationalError, InterfaceError)

log = structlog.get_logger(__name__)
Act = Callable[..., object]

_TAKE = """
INSERT INTO keys_joblease AS lease
    (kind, step, subject_type, subject_id, attempts, worker, taken_at, first_taken_at, free_at, code)
SELECT %(kind)s, %(step)s, %(subject_type)s, subject, 1, %(worker)s, %(at)s, %(at)s, %(at)s + %(lease)s, ''
FROM unnest(%(subjects)s::uuid[]) AS given (subject) ORDER BY subject
ON CONFLICT (step, subject_id) DO UPDATE
SET attempts = least(lease.attempts + 1, 32767), worker = excluded.worker, taken_at = excluded.taken_at,
    free_at = excluded.free_at
WHERE lease.free_at <= excluded.taken_at
RETURNING subject_id
"""
_PUT_DOWN = """
UPDATE keys_joblease SET code = %(code)s, free_at = %(at)s + (%(pauses)s::interval[])[least(attempts, %(most)s)]
WHERE step = %(step)s AND subject_id = %(subject)s AND worker = %(worker)s
"""


def sweep(
    kind: str, rows: QuerySet[Any], act: Act, *, most: int = SWEEP, seconds: float = LONGEST_SECONDS
) -> int:  # Any: rows of whatever model
    """Do `act` for each of `rows`, in their order, at most so many and so long; returns how many it did something for."""
    step, done, seen = _name(act), 0, set[UUID]()
    deadline = time.monotonic() + seconds
    while len(seen) < most and time.monotonic() < deadline:
        held = JobLease.objects.held(step, clock.now()).values("subject_id")
        chunk = list(rows.exclude(pk__in=held).exclude(pk__in=seen).values_list("pk", flat=True)[:CHUNK])
        if not chunk:
            break
        seen.update(chunk)
        taken = _take(kind, step, governed_of(rows.model).target_type, chunk)
        # What another worker did between our look and our lease is not due any more.
        found = {row.pk: row for row in rows.filter(pk__in=taken)}
        done += _do(step, found, taken, act, is_due=lambda pk: rows.filter(pk=pk).exists())
    return done


def sweep_each(kind: str, rows: Iterable[Any], act: Act) -> int:
    """Do the same for rows that no query alone can find."""
    step, done, left = _name(act), 0, islice(rows, SWEEP)
    while chunk := list(islice(left, CHUNK)):
        found = {row.pk: row for row in chunk}
        done += _do(
            step,
            found,
            _take(kind, step, governed_of(type(chunk[0])).target_type, list(found)),
            act,
            is_due=lambda _pk: True,
        )
    return done


def in_turn(*steps: Callable[[], int]) -> int:
    """Take all these steps, also when one fails; what went wrong first is raised at the end."""
    done, failure = 0, None
    for step in steps:
        try:
            done += step()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again below
            failure = failure or error
    if failure is not None:
        raise failure
    return done


def _do(step: str, rows: dict[UUID, Any], taken: Collection[UUID], act: Act, *, is_due: Callable[[UUID], bool]) -> int:
    done, over = 0, [pk for pk in taken if pk not in rows]
    actor = Actor.job(step)
    try:
        for pk in taken:
            if pk not in rows:
                continue
            try:
                done += bool(act(rows[pk], actor=actor))
            except EVERYBODYS:
                raise
            except KeysError as refused:
                if is_due(pk):
                    put_down(step, pk, refused)
                else:
                    over.append(pk)  # somebody was faster
            except Exception as error:  # noqa: BLE001 - it stays beside the row, and the next row has its turn
                put_down(step, pk, error)
            else:
                over.append(pk)
    except EVERYBODYS:
        over = list(taken)
        raise
    finally:
        _release(step, over)
    return done


def put_down(step: str, subject: UUID, error: Exception) -> None:
    """Leave a row for later, with the code of what went wrong."""
    code = code_of(error)
    log.warning("row_not_done", step=step, subject=str(subject), code=code, exc_info=error)
    with connection.cursor() as cursor:
        cursor.execute(
            _PUT_DOWN,
            {
                "code": code,
                "at": clock.now(),
                "pauses": list(PAUSES),
                "most": len(PAUSES),
                "step": step,
                "subject": subject,
                "worker": worker_name(),
            },
        )


def _take(kind: str, step: str, subject_type: str, subjects: Collection[UUID]) -> list[UUID]:
    values: dict[str, Any] = {  # Any: what the driver takes
        "kind": kind,
        "step": step,
        "subject_type": subject_type,
        "subjects": list(subjects),
        "worker": worker_name(),
        "at": clock.now(),
        "lease": LEASE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        mine = {row[0] for row in cursor.fetchall()}
    return [each for each in subjects if each in mine]


def _release(step: str, subjects: Collection[UUID]) -> None:
    JobLease.objects.filter(step=step, subject_id__in=subjects, worker=worker_name()).delete()


def _name(act: Act) -> str:
    return str(act.__name__)
