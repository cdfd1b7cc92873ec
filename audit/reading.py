"""Read events by their numbers, each with its private part and its seal where it has them, in one statement.

A page of the log is read by this. As one query for events and one for seals, each with its numbers spelled out, the server
planned longer than it read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from audit.bound import bound_cursor
from audit.models import AuditEvent, AuditPrivate
from audit.seals import Seal

_EVENT = [field.attname for field in AuditEvent._meta.concrete_fields]
_PRIVATE = [field.attname for field in AuditPrivate._meta.concrete_fields]
_SELECTED = ", ".join(
    [
        # xid8 has no number in binary.
        *(f"event.{name}::text::bigint" if name == "txid" else f"event.{name}" for name in _EVENT),
        *(f"private.{name}" for name in _PRIVATE),
        "leaf.index, leaf.leaf_hash, head.size",
    ]
)
_READ = f"""
SELECT {_SELECTED} FROM unnest(%s::bigint[]) WITH ORDINALITY AS place (id, number)
JOIN audit_event AS event ON event.id = place.id
LEFT JOIN audit_private AS private ON private.event_id = place.id
LEFT JOIN audit_leaf AS leaf ON leaf.event_id = place.id
LEFT JOIN LATERAL (SELECT size FROM audit_checkpoint WHERE size > leaf.index ORDER BY size LIMIT 1) AS head ON true
ORDER BY place.number
"""  # noqa: S608 - names of our columns
_PRIVATE_OF = AuditEvent._meta.get_field("private")


class ReadEvents(NamedTuple):
    """Events with their private parts, and the seals by event."""

    events: list[AuditEvent]
    seals: dict[int, Seal]


def read_events(numbers: Sequence[int], *, using: str = "default") -> ReadEvents:
    """Return the events with these numbers in this order; what is not there is left out."""
    found = ReadEvents([], {})
    if not numbers:
        return found
    with bound_cursor(using) as cursor:
        cursor.execute(_READ, [list(numbers)])
        rows = cursor.fetchall()
    end = len(_EVENT) + len(_PRIVATE)
    for row in rows:
        event = AuditEvent.from_db(using, _EVENT, row[: len(_EVENT)])
        erased = row[len(_EVENT)] is None
        private = None if erased else AuditPrivate.from_db(using, _PRIVATE, row[len(_EVENT) : end])
        _PRIVATE_OF.set_cached_value(event, private)
        found.events.append(event)
        leaf, leaf_hash, size = row[end:]
        if size is not None:
            found.seals[event.pk] = Seal(leaf=leaf, leaf_hash=leaf_hash, checkpoint=size)
    return found
