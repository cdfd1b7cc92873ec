"""Look at the whole log every night, and when somebody asks: hash everything again, tell how far, record what was found.

The row is the queue: whoever takes its lease inspects, and a worker that dies loses the lease to the next.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from audit import clock
from audit.actor import Actor
from audit.alarms import raise_alarm
from audit.checkpoints import latest_checkpoint
from audit.events import InspectionAsked, LogDistrusted, LogHeld
from audit.findings import Inspection
from audit.inspection import inspect_log
from audit.log import record
from audit.models import OPEN_INSPECTIONS, AuditInspection, InspectionState
from audit.notes import NoteError
from audit.pins import CopyDistrusted, read_pins
from audit.uuid7 import uuid7
from keys.operations import operation
from keys.reports.log import LOG, decide_reading

EVERY = timedelta(hours=24)
LEASE = timedelta(seconds=60)
SHOWN = 30
_TELL_SECONDS = 1.0


@operation
def ask_inspection(*, actor: Actor) -> AuditInspection:
    """Have the whole log inspected now; whoever asks while one is open waits for that one."""
    at = decide_reading(actor)
    found = AuditInspection.objects.filter(state__in=OPEN_INSPECTIONS).first()
    if found is not None:
        return found
    asked = _ask(f"{actor.kind}:{actor.id}", at=at)
    if asked is None:
        return AuditInspection.objects.get(state__in=OPEN_INSPECTIONS)  # somebody asked in the same moment
    record(InspectionAsked(target_id=LOG, correlation=str(asked.uid)), actor=actor, at=at)
    return asked


@operation
def read_inspections(*, actor: Actor) -> list[AuditInspection]:
    """Return the last inspections, the newest first."""
    decide_reading(actor)
    return list(AuditInspection.objects.order_by("-asked_at")[:SHOWN])


def ask_nightly() -> bool:
    """Ask for an inspection when the last is a day old."""
    at = clock.now()
    if AuditInspection.objects.filter(asked_at__gt=at - EVERY).exists():
        return False
    return _ask("job:inspect_log", at=at) is not None


def inspect_waiting(*, actor: Actor, using: str = "auditor") -> int:
    """Take what waits, or what a dead worker left, and inspect; returns how many inspections came to an end."""
    taken = _take()
    if taken is None:
        return 0
    started = taken.started_at
    try:
        found = inspect_log(read_pins(), using=using, progress=_Progress(taken))
    except (OSError, NoteError):
        found = Inspection()
        found.add("unusable", "there is no public key of the log to verify with: set KEYSTEAD_LOG_KEYS")
    except CopyDistrusted as error:
        found = Inspection()
        found.add("copy", str(error))
    except LeaseLost:
        return 0
    return _end(taken.uid, started, found, actor=actor)


class LeaseLost(Exception):
    """Another worker took this inspection over: we were too slow to tell that we live."""


class _Progress:
    """Tell how far we are, at most every second, and that we live."""

    def __init__(self, taken: AuditInspection) -> None:
        self.taken = taken
        self.told = 0.0

    def __call__(self, checked: int) -> None:
        if time.monotonic() - self.told < _TELL_SECONDS:
            return
        self.told = time.monotonic()
        ours = AuditInspection.objects.filter(uid=self.taken.uid, started_at=self.taken.started_at)
        if not ours.update(checked=checked, lease_until=clock.now() + LEASE):
            raise LeaseLost


def _ask(by: str, *, at: datetime) -> AuditInspection | None:
    asked = AuditInspection(uid=uuid7(int(at.timestamp() * 1000)), asked_at=at, asked_by=by)
    made = AuditInspection.objects.bulk_create([asked], ignore_conflicts=True)
    return asked if AuditInspection.objects.filter(uid=made[0].uid).exists() else None


def _take() -> AuditInspection | None:
    with transaction.atomic():
        at = clock.now()
        waiting = Q(state=InspectionState.WAITING) | Q(state=InspectionState.RUNNING, lease_until__lt=at)
        taken = AuditInspection.objects.select_for_update(skip_locked=True).filter(waiting).first()
        if taken is None:
            return None
        head = latest_checkpoint()
        taken.state, taken.started_at, taken.lease_until = InspectionState.RUNNING, at, at + LEASE
        taken.checked, taken.total = 0, head.size if head else 0
        taken.save(update_fields=["state", "started_at", "lease_until", "checked", "total"])
    return taken


@operation
def _end(uid: UUID, started: datetime | None, found: Inspection, *, actor: Actor) -> int:
    """Write down the result and put it on record; a finding alarms at once, past the dispatcher."""
    at = clock.now()
    findings = [str(each) for each in found.findings]
    usable = not any(each.code == "unusable" for each in found.findings)
    state = InspectionState.BROKEN if findings else InspectionState.HELD
    ended = AuditInspection.objects.filter(uid=uid, started_at=started, state=InspectionState.RUNNING).update(
        state=state if usable else InspectionState.FAILED,
        checked=found.size,
        root=found.root,
        findings=findings,
        first_bad_index=found.first_bad_index,
        finished_at=at,
    )
    if not ended:
        return 0
    if not findings:
        record(LogHeld(target_id=LOG, size=found.size, root=found.root, correlation=str(uid)), actor=actor, at=at)
        return 1
    if usable:
        codes = tuple(sorted({each.code for each in found.findings}))
        first = -1 if found.first_bad_index is None else found.first_bad_index
        event = LogDistrusted(
            target_id=LOG, size=found.size, findings=codes, first_bad_index=first, correlation=str(uid)
        )
        record(event, actor=actor, at=at)
    transaction.on_commit(lambda: raise_alarm(found.findings[0].code, "\n".join(findings), by="inspection"))
    return 1
