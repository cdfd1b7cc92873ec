"""Move a reader along the sealed log: what has a leaf under a signed checkpoint has its final place, and is read once, in order.

A leaf index has no gap and never changes, also in a restored dump, so that one number says how far a reader has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audit import clock
from audit.canonical import parse_strict
from audit.checkpoints import backlog
from keys.dispatch.failures import due_again, note_failure, postpone, tried
from keys.models import DispatchCursor

BATCH = 200

# A leaf and its checkpoint commit together; the checkpoint is asked all the same, because it is what is signed.
_SELECT = """
SELECT leaf.index, e.uid, e.occurred_at, e.action, e.actor_type, e.actor_id, e.target_type, e.target_id, e.environment, e.outcome, e.payload
FROM audit_leaf leaf JOIN audit_event e ON e.id = leaf.event_id
"""
_NEXT = (
    _SELECT  # noqa: S608 - constants
    + """WHERE leaf.index >= %s AND leaf.index < (SELECT max(size) FROM audit_checkpoint)
ORDER BY leaf.index
LIMIT %s
"""
)
_AGAIN = _SELECT + "WHERE leaf.index = ANY (%s) ORDER BY leaf.index"
# Pruned leaves are behind every reader that matters; the oldest that is left is where a late reader goes on.
_LAG = """
SELECT coalesce(max(size), 0) - %(next)s, (
    SELECT greatest(clock_timestamp() - e.recorded_at, interval '0')
    FROM audit_leaf leaf JOIN audit_event e ON e.id = leaf.event_id
    WHERE leaf.index >= %(next)s ORDER BY leaf.index LIMIT 1
)
FROM audit_checkpoint
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event as the log tells it. `payload` is the parsed canonical JSON, without the private part."""

    leaf: int
    uid: UUID
    occurred_at: datetime
    action: str
    actor_type: str
    actor_id: str
    target_type: str
    target_id: str
    environment: str
    outcome: str
    payload: dict[str, Any]

    @property
    def reason(self) -> str:
        return str(self.payload.get("reason") or "")

    @property
    def details(self) -> dict[str, Any]:
        return dict(self.payload.get("details") or {})


Reaction = Callable[[Told], object]


def read_on(reader: str, reactions: Sequence[Reaction], *, before: datetime | None = None) -> int:
    """Give the next sealed events to `reactions` and move the cursor, in one transaction; returns how many were read.

    A reaction writes rows and sends nothing. When one fails, what it and the others wrote about that event is undone, the
    event is put aside in the same transaction, and those behind it are read: it comes again, before what is new.
    `before`: stop at the first event that happened at this time or later.
    """
    read = 0
    with transaction.atomic(), connection.cursor() as cursor:
        place, _ = DispatchCursor.objects.get_or_create(reader=reader)
        held = DispatchCursor.objects.select_for_update(skip_locked=True).filter(pk=place.pk).first()
        if held is None:
            return 0  # another worker is at it
        _try_again(reader, reactions)
        cursor.execute(_NEXT, (held.next_leaf, BATCH))
        for index, *columns, payload in cursor.fetchall():
            told = _told(index, columns, payload)
            if before is not None and told.occurred_at >= before:
                break
            error = tried(partial(_give, told, reactions))
            if error is not None:
                note_failure(reader, index, error, at=clock.now())
            held.next_leaf, read = index + 1, read + 1
        if read:
            held.moved_at = clock.now()
            held.save(update_fields=["next_leaf", "moved_at"])
    return read


def _give(told: Told, reactions: Sequence[Reaction]) -> None:
    for react in reactions:
        react(told)


def _try_again(reader: str, reactions: Sequence[Reaction]) -> None:
    """Give what was put aside to the reactions once more; what has been pruned meanwhile is nobody's concern any more."""
    rows = {row.leaf: row for row in due_again(reader, at=clock.now())}
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(_AGAIN, (list(rows),))
        found = {index: _told(index, columns, payload) for index, *columns, payload in cursor.fetchall()}
    for leaf, row in rows.items():
        error = tried(partial(_give, found[leaf], reactions)) if leaf in found else None
        if error is None:
            row.delete()
        else:
            postpone(row, error, at=clock.now())


def read_all(reader: str, reactions: Sequence[Reaction], *, before: datetime | None = None) -> int:
    """Read on until nothing is left."""
    total = 0
    while read := read_on(reader, reactions, before=before):
        total += read
    return total


def _told(index: int, columns: list[Any], payload: Any) -> Told:  # Any: a row of the query above
    value = parse_strict(bytes(payload))
    if not isinstance(value, dict):
        raise TypeError("an event's payload is an object")
    uid, occurred_at, action, actor_type, actor_id, target_type, target_id, environment, outcome = columns
    return Told(
        leaf=index,
        uid=uid,
        occurred_at=occurred_at,
        action=action,
        actor_type=actor_type,
        actor_id=actor_id,
        target_type=target_type,
        target_id=target_id,
        environment=environment or "",
        outcome=outcome,
        payload=dict(value),
    )


@dataclass(frozen=True, kw_only=True)
class Lag:
    """How far a reader is behind: sealed events it has not read, events that are not sealed yet, and the age of the oldest."""

    leaves: int
    unsealed: int
    age: timedelta


def lag_of(reader: str) -> Lag:
    """Tell how far `reader` is behind the newest event there is."""
    place = DispatchCursor.objects.filter(reader=reader).values_list("next_leaf", flat=True).first() or 0
    waiting = backlog()
    with connection.cursor() as cursor:
        cursor.execute(_LAG, {"next": place})
        leaves, age = cursor.fetchone()
    leaves = max(int(leaves), 0)
    sealed_age = age if leaves and age is not None else timedelta()
    return Lag(leaves=leaves, unsealed=waiting.waiting, age=max(sealed_age, waiting.age))
