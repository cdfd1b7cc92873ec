"""Move exports from state to state: the one writer of their rows. The rows are the queue, a lease says who works.

Whoever takes a row counts its attempts up; every later write asks for that very attempt, so that a worker that was
thought dead and wakes up again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q

from audit import clock
from audit.models import AuditExport, ExportState

LEASE: Final = timedelta(seconds=30)
MOST_ATTEMPTS: Final = 5
# One export at a time: the other hands of the workers are for keys.
_ONE_AT_A_TIME: Final = 0x6B657965787031

TRANSITIONS: Final[Mapping[ExportState, frozenset[ExportState]]] = {
    ExportState.WAITING: frozenset({ExportState.RUNNING, ExportState.CANCELLED}),
    ExportState.RUNNING: frozenset({ExportState.RUNNING, ExportState.DONE, ExportState.FAILED, ExportState.CANCELLED}),
    ExportState.DONE: frozenset({ExportState.EXPIRED}),
    ExportState.FAILED: frozenset(),
    ExportState.EXPIRED: frozenset(),
    ExportState.CANCELLED: frozenset(),
}


class LeaseLost(Exception):
    """Another worker took this export over, or it has ended: whatever we made is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An export in the hands of one worker, as it was when it was taken."""

    export: AuditExport
    attempt: int

    @property
    def uid(self) -> UUID:
        """Which export it is."""
        return self.export.uid


def take() -> Taken | None:
    """Take the oldest that waits or whose worker has gone silent, unless another worker is at one."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_ONE_AT_A_TIME,))
            if not cursor.fetchone()[0]:
                return None
        at = clock.now()
        running = AuditExport.objects.filter(state=ExportState.RUNNING)
        if running.filter(lease_until__gt=at, event_uid=None).exists():
            return None
        ours = Q(state=ExportState.WAITING) | Q(state=ExportState.RUNNING, lease_until__lte=at)
        found = AuditExport.objects.select_for_update(skip_locked=True).filter(ours)
        # Those that only wait to be sealed come last: a sealer that stands still holds up nobody else's file.
        row = found.order_by(F("event_uid").asc(nulls_first=True), "uid").first()
        if row is None:
            return None
        attempt = row.attempts + 1
        columns: dict[str, Any] = {"attempts": attempt, "lease_until": at + LEASE, "started_at": row.started_at or at}
        if row.event_uid is None:
            columns["rows"] = 0
        _move(row.uid, row.attempts, ExportState(row.state), ExportState.RUNNING, columns)
        row.refresh_from_db()
    return Taken(export=row, attempt=attempt)


def still(taken: Taken, **columns: Any) -> None:
    """Write how far it is, and that we live (Any: values of columns)."""
    _move(
        taken.uid,
        taken.attempt,
        ExportState.RUNNING,
        ExportState.RUNNING,
        {"lease_until": clock.now() + LEASE, **columns},
    )


def release(taken: Taken, *, until: timedelta) -> None:
    """Let go of an export that cannot go on before something else has happened; it is taken again later."""
    _move(taken.uid, taken.attempt, ExportState.RUNNING, ExportState.RUNNING, {"lease_until": clock.now() + until})


def finish(taken: Taken, *, at: datetime, keep: timedelta, **columns: Any) -> None:
    """Say that the file is there; part of the operation that puts it on record (Any: values of columns)."""
    ended = {"finished_at": at, "expires_at": at + keep, "lease_until": None, **columns}
    _move(taken.uid, taken.attempt, ExportState.RUNNING, ExportState.DONE, ended)


def give_up(taken: Taken, *, at: datetime, code: str) -> None:
    """Say that there will be no file, and why; part of the operation that puts it on record."""
    columns = {"finished_at": at, "lease_until": None, "error": code}
    _move(taken.uid, taken.attempt, ExportState.RUNNING, ExportState.FAILED, columns)


def expire(export: AuditExport) -> None:
    """Say that the file is gone; part of the operation that puts it on record."""
    _move(export.uid, export.attempts, ExportState.DONE, ExportState.EXPIRED, {})


def cancel(export: AuditExport, *, at: datetime) -> None:
    """Say that nobody wants it any more; part of the operation that puts it on record. `export` is locked.

    A worker that is at it learns it at its next write, as if it had lost its lease, and throws away what it made.
    """
    columns = {"finished_at": at, "lease_until": None}
    _move(export.uid, export.attempts, ExportState(export.state), ExportState.CANCELLED, columns)


def _move(uid: UUID, attempt: int, before: ExportState, after: ExportState, columns: Mapping[str, Any]) -> None:
    if after not in TRANSITIONS[before]:
        raise ValueError(f"an export that is {before} does not become {after}")
    held = AuditExport.objects.filter(uid=uid, attempts=attempt, state=before)
    if not held.update(state=after, **columns):
        raise LeaseLost
