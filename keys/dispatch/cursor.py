"""Move a reader along the log without missing an event of a transaction that was still open.

Ids and transaction numbers are given out before a commit, so "id greater than the last one" misses rows. Only events of
transactions older than every transaction still running are read, in the order (transaction, id); what is read is final.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audit import clock
from audit.canonical import parse_strict
from keys.models import DispatchCursor

BATCH = 200

_NEXT = """
SELECT e.id, e.uid, e.txid::text::bigint, e.action, e.actor_type, e.actor_id, e.target_type, e.target_id, e.environment, e.payload
FROM audit_event e
WHERE e.txid >= %(txid)s::text::xid8 AND (e.txid, e.id) > (%(txid)s::text::xid8, %(event_id)s)
  AND e.txid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY e.txid, e.id
LIMIT %(most)s
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event as the log tells it. `payload` is the parsed canonical JSON, without the private part."""

    uid: UUID
    action: str
    actor_type: str
    actor_id: str
    target_type: str
    target_id: str
    environment: str
    payload: dict[str, Any]

    @property
    def reason(self) -> str:
        return str(self.payload.get("reason") or "")

    @property
    def details(self) -> dict[str, Any]:
        return dict(self.payload.get("details") or {})


def read_on(reader: str, reactions: Sequence[Callable[[Told], object]], *, most: int = BATCH) -> int:
    """Give the next events to `reactions` and move the cursor, in one transaction; returns how many were read.

    A reaction writes rows and sends nothing. When one fails, nothing is kept and the same events come again.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        place, _ = DispatchCursor.objects.get_or_create(reader=reader)
        held = DispatchCursor.objects.select_for_update(skip_locked=True).filter(pk=place.pk).first()
        if held is None:
            return 0  # another worker is at it
        cursor.execute(_NEXT, {"txid": held.txid, "event_id": held.event_id, "most": most})
        rows = cursor.fetchall()
        for _, uid, _, action, actor_type, actor_id, target_type, target_id, environment, payload in rows:
            told = Told(
                uid=uid,
                action=action,
                actor_type=actor_type,
                actor_id=actor_id,
                target_type=target_type,
                target_id=target_id,
                environment=environment or "",
                payload=_parsed(payload),
            )
            for react in reactions:
                react(told)
        if rows:
            held.event_id, held.txid, held.moved_at = rows[-1][0], rows[-1][2], clock.now()
            held.save(update_fields=["event_id", "txid", "moved_at"])
    return len(rows)


def read_all(reader: str, reactions: Sequence[Callable[[Told], object]]) -> int:
    """Read on until nothing is left."""
    total = 0
    while read := read_on(reader, reactions):
        total += read
    return total


def _parsed(payload: Any) -> dict[str, Any]:
    value = parse_strict(bytes(payload))
    if not isinstance(value, dict):
        raise TypeError("an event's payload is an object")
    return dict(value)


def lag(reader: str) -> int:
    """How many committed events `reader` has not read yet."""
    place = DispatchCursor.objects.filter(reader=reader).first()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM audit_event WHERE (txid, id) > (%s::text::xid8, %s)",
            [place.txid if place else 0, place.event_id if place else 0],
        )
        return int(cursor.fetchone()[0])
