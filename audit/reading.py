"""Read events, each with its private part and its place in the sealed log where it has them, in one statement.

A page of the log is read by this. As one query for events and one for seals, each with its numbers spelled out, the server
planned longer than it read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from audit.bound import bound_cursor
from audit.models import AuditEvent, AuditPrivate
from audit.queries import Position
from audit.scanning import Found, Question, Statement, find_page, straight
from audit.seals import LeafPlace

_EVENT = [field.attname for field in AuditEvent._meta.concrete_fields]
_PRIVATE = [field.attname for field in AuditPrivate._meta.concrete_fields]
_SELECTED = ", ".join(
    [
        # xid8 has no number in binary.
        *(f"event.{name}::text::bigint" if name == "txid" else f"event.{name}" for name in _EVENT),
        *(f"private.{name}" for name in _PRIVATE),
        "leaf.index",
    ]
)
_BY_NUMBER = """
SELECT event.*, place.number FROM unnest(%s::bigint[]) WITH ORDINALITY AS place (id, number)
JOIN audit_event AS event ON event.id = place.id
"""
_PRIVATE_OF = AuditEvent._meta.get_field("private")


class ReadEvents(NamedTuple):
    """Events with their private parts, and the places of those that are sealed, by event."""

    events: list[AuditEvent]
    places: dict[int, LeafPlace]


def read_events(numbers: Sequence[int], *, using: str = "default") -> ReadEvents:
    """Return the events with these numbers in this order; what is not there is left out."""
    if not numbers:
        return ReadEvents([], {})
    return _read(Statement(_BY_NUMBER, [list(numbers)]), order="event.number", using=using)


def read_page(
    question: Question, *, after: Position | None = None, newer: bool = False, size: int
) -> tuple[ReadEvents, Found]:
    """Read the events of the page that `find_page` finds, and say what it says; at once where one index answers."""
    source = straight(question, _EVENT, after=after, newer=newer, limit=size + 1)
    if source is None:
        found = find_page(question, after=after, newer=newer, size=size)
        return read_events([place.id for place in found.places]), found
    direction = "ASC" if newer else "DESC"
    events, places = _read(source, order=f"event.occurred_at {direction}, event.id {direction}", using="default")
    shown = events[:size][::-1] if newer else events[:size]
    found = Found(places=[Position.of(event) for event in shown], has_more=len(events) > size)
    return ReadEvents(shown, {event.pk: places[event.pk] for event in shown if event.pk in places}), found


def _read(source: Statement, *, order: str, using: str) -> ReadEvents:
    """Read the events that `source` selects."""
    sql = (
        f"SELECT {_SELECTED} FROM ({source.sql}) AS event"  # noqa: S608 - names of our columns
        " LEFT JOIN audit_private AS private ON private.event_id = event.id"
        " LEFT JOIN audit_leaf AS leaf ON leaf.event_id = event.id"
        f" ORDER BY {order}"
    )
    with bound_cursor(using) as cursor:
        cursor.execute(sql, source.values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    found = ReadEvents([], {})
    end = len(_EVENT) + len(_PRIVATE)
    for row in rows:
        event = AuditEvent.from_db(using, _EVENT, row[: len(_EVENT)])
        erased = row[len(_EVENT)] is None
        private = None if erased else AuditPrivate.from_db(using, _PRIVATE, row[len(_EVENT) : end])
        _PRIVATE_OF.set_cached_value(event, private)
        found.events.append(event)
        if row[end] is not None:
            found.places[event.pk] = LeafPlace(leaf=row[end])
    return found
