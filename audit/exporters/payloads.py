"""Read the payloads of any number of events in constant memory and in one snapshot, without making objects of them.

A server-side cursor reads one query to its end, so nothing is sorted or counted twice, and what commits meanwhile is not
in it. A million model instances cost sixty times the memory and ten times the time of a million byte strings.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections

from audit.queries import AuditEventQuerySet

# So many payloads of 16 KiB are 8 MiB, twice for a moment.
BATCH = 500

_IN_RANGE = """
SELECT {columns} FROM audit_leaf l JOIN audit_event e ON e.id = l.event_id {joins}
WHERE l.index >= %s AND l.index < %s ORDER BY l.index
"""
_PRIVATE = "LEFT JOIN audit_private p ON p.event_id = e.id"
_names = count(1)

Batches = Iterator[list[tuple[Any, ...]]]  # Any: the columns are those of the query


def of_search(events: AuditEventQuerySet) -> Batches:
    """Yield (payload,) of what `events` selects, oldest first."""
    return _selected(events, ("payload",))


def of_range(from_leaf: int, upto_leaf: int, *, using: str) -> Batches:
    """Yield (payload,) of the sealed events with these places in the log, in their order."""
    return _read(_IN_RANGE.format(columns="e.payload", joins=""), (from_leaf, upto_leaf), using=using)


def private_of_search(events: AuditEventQuerySet) -> Batches:
    """Yield (uid, salt, body) of the private parts that still exist of what `events` selects, oldest first."""
    return _selected(events.filter(private__isnull=False), ("uid", "private__salt", "private__body"))


def private_of_range(from_leaf: int, upto_leaf: int, *, using: str) -> Batches:
    """Yield (uid, salt, body) of the private parts that still exist in a range."""
    statement = _IN_RANGE.format(columns="e.uid, p.salt, p.body", joins=_PRIVATE.removeprefix("LEFT "))
    return _read(statement, (from_leaf, upto_leaf), using=using)


def _selected(events: AuditEventQuerySet, columns: tuple[str, ...]) -> Batches:
    try:
        statement, params = events.oldest_first().values_list(*columns).query.get_compiler(events.db).as_sql()
    except EmptyResultSet:
        return iter(())
    return _read(statement, params, using=events.db)


def _read(statement: str, params: tuple[Any, ...], *, using: str) -> Batches:
    """Yield the rows in batches; the transaction of the caller keeps the cursor and its snapshot alive."""
    connection = connections[using]
    if not connection.in_atomic_block:
        raise RuntimeError("an export reads in a transaction: its pages are of one snapshot")
    with connection.connection.cursor(name=f"export_{next(_names)}", binary=True) as cursor:
        cursor.execute(statement, params)
        while batch := cursor.fetchmany(BATCH):
            yield batch
