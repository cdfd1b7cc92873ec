"""Read the sealed log on after a cursor of its own and hand it to the plug; a failure leaves the cursor and waits longer.

Nothing is sent inside a transaction. The cursor moves after the receiver has taken a batch, so a crash in between sends
that batch again: at least once, never a gap.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet

from audit import clock
from audit.forwarding.base import Forwarder, ForwardFailed, SealedEvent, configured
from audit.models import AuditForward

BATCH: Final = 500
LEASE: Final = timedelta(seconds=120)
LONGEST_SECONDS: Final = 20.0
LONGEST_PAUSE: Final = timedelta(minutes=5)
_NEXT: Final = """
SELECT leaf.index, e.payload FROM audit_leaf leaf JOIN audit_event e ON e.id = leaf.event_id
WHERE leaf.index >= %s AND leaf.index < (SELECT max(size) FROM audit_checkpoint)
ORDER BY leaf.index LIMIT %s
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Forwarding:
    """How forwarding is: leaves that wait, and what is wrong, if anything."""

    behind: int
    attempts: int
    problem: str


def forward_sealed(plug: Forwarder | None = None) -> int:
    """Send what is sealed and was not sent yet, for some seconds; returns how many events the receiver took."""
    plug = plug or configured()
    if plug is None:
        return 0
    held = _take(plug.receiver)
    if held is None:
        return 0
    began, sent = time.monotonic(), 0
    try:
        while time.monotonic() - began < LONGEST_SECONDS:
            events = _read(held.next_leaf)
            if not events:
                break
            plug.send(events)
            if not _move(held, events[-1].leaf + 1):
                return sent  # somebody else took over
            sent += len(events)
    except ForwardFailed as failure:
        _put_off(held, failure.code)
        return sent
    _ours(held).update(lease_until=None, attempts=0, next_attempt_at=None, problem="")
    return sent


def state() -> Forwarding | None:
    """Tell how forwarding is, or None when nothing is forwarded."""
    plug = configured()
    if plug is None:
        return None
    row = AuditForward.objects.filter(name=plug.receiver).first() or AuditForward(name=plug.receiver)
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(size), 0) FROM audit_checkpoint")
        behind = int(cursor.fetchone()[0]) - row.next_leaf
    return Forwarding(behind=max(behind, 0), attempts=row.attempts, problem=row.problem)


def _take(name: str) -> AuditForward | None:
    AuditForward.objects.get_or_create(name=name)
    with transaction.atomic():
        held = AuditForward.objects.select_for_update(skip_locked=True).filter(name=name).first()
        at = clock.now()
        if held is None or (held.lease_until is not None and held.lease_until > at):
            return None  # another worker is at it
        if held.next_attempt_at is not None and held.next_attempt_at > at:
            return None
        held.lease_until = at + LEASE
        held.save(update_fields=["lease_until"])
    return held


def _read(next_leaf: int) -> list[SealedEvent]:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, (next_leaf, BATCH))
        rows = [(leaf, bytes(payload)) for leaf, payload in cursor.fetchall()]
    return [SealedEvent(leaf=leaf, payload=payload, facts=json.loads(payload)) for leaf, payload in rows]


def _ours(held: AuditForward) -> QuerySet[AuditForward]:
    return AuditForward.objects.filter(name=held.name, lease_until=held.lease_until, next_leaf=held.next_leaf)


def _move(held: AuditForward, next_leaf: int) -> bool:
    at = clock.now()
    moved = _ours(held).update(
        next_leaf=next_leaf, sent_at=at, lease_until=at + LEASE, attempts=0, next_attempt_at=None, problem=""
    )
    held.next_leaf, held.lease_until, held.attempts = next_leaf, at + LEASE, 0
    return bool(moved)


def _put_off(held: AuditForward, code: str) -> None:
    """Leave the cursor, and try again later: after 2 s, 4 s, 8 s and so on, at most five minutes."""
    attempts = held.attempts + 1
    pause = min(timedelta(seconds=2 ** min(attempts, 10)), LONGEST_PAUSE)
    _ours(held).update(lease_until=None, attempts=attempts, next_attempt_at=clock.now() + pause, problem=code)
    log.warning("forwarding_failed", receiver=held.name, code=code, attempt=attempts)
