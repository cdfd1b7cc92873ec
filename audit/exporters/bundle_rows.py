"""Read what an evidence bundle holds: a range of the log or what a search finds, in the order of the log, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connections

from audit.checkpoints import NotSealed
from audit.models import AuditCheckpoint
from audit.queries import AuditEventQuerySet

PAGE = 500
_PLACES = (
    "SELECT l.index, e.uid, e.payload, {private} FROM audit_leaf l JOIN audit_event e ON e.id = l.event_id {joins}"
)
_PRIVATE = ("p.salt, p.body", "LEFT JOIN audit_private p ON p.event_id = e.id")
_NONE = ("NULL, NULL", "")


@dataclass(frozen=True, kw_only=True)
class LeafRange:
    """Every event from one place in the log on and before another; None: up to the newest checkpoint. Proves completeness.

    Of `support` those events that lie before the range go beside it: what its approvals are proved with.
    """

    from_leaf: int = 0
    upto_leaf: int | None = None
    support: AuditEventQuerySet | None = None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The sealed events that a search finds; proves that they are in the log, and not that they are all."""

    events: AuditEventQuerySet
    searched: Mapping[str, str]


Scope = LeafRange | Selection


class Row(NamedTuple):
    """One event of a bundle: its place, its exact bytes, and its private part where that is there and asked for."""

    place: int
    uid: UUID
    payload: bytes
    salt: bytes | None = None
    body: bytes | None = None


def head_of(scope: Scope, using: str) -> AuditCheckpoint:
    """Return the newest checkpoint over a scope; for a fixed range one that a witness saw, if there is any."""
    heads = AuditCheckpoint.objects.using(using).order_by("-size")
    head = heads.first()
    upto = scope.upto_leaf if isinstance(scope, LeafRange) else None
    if head is None or (upto or 0) > head.size or (isinstance(scope, LeafRange) and scope.from_leaf > head.size):
        raise NotSealed("the log is not as large as that")
    if upto is not None:
        return heads.filter(size__gte=upto, cosignatures__isnull=False).first() or head
    return head


def rows_of(scope: Scope, size: int, *, with_private: bool, using: str) -> Iterator[list[Row]]:
    """Yield the events of a scope that a head of this size covers."""
    columns, joins = _PRIVATE if with_private else _NONE
    statement = _PLACES.format(private=columns, joins=joins)
    if isinstance(scope, LeafRange):
        return _range_rows(
            statement, scope.from_leaf, size if scope.upto_leaf is None else scope.upto_leaf, using=using
        )
    return _chosen_rows(statement, scope.events, size, using=using)


def support_of(scope: Scope, *, using: str) -> Iterator[list[Row]] | None:
    """Yield what lies before a range and supports it."""
    if not isinstance(scope, LeafRange) or scope.support is None:
        return None
    private, joins = _NONE
    return _chosen_rows(_PLACES.format(private=private, joins=joins), scope.support, scope.from_leaf, using=using)


def _chosen_rows(statement: str, events: AuditEventQuerySet, before: int, *, using: str) -> Iterator[list[Row]]:
    try:
        chosen, params = events.order_by().values_list("id").query.get_compiler(using).as_sql()
    except EmptyResultSet:
        return
    # One query read to its end: a keyset over two orders (the search's and the log's) would search anew for each page.
    with connections[using].chunked_cursor() as cursor:
        cursor.execute(f"{statement} WHERE e.id IN ({chosen}) AND l.index < %s ORDER BY l.index", (*params, before))
        while rows := cursor.fetchmany(PAGE):
            yield [_row(*each) for each in rows]


def _range_rows(statement: str, start: int, end: int, *, using: str) -> Iterator[list[Row]]:
    for first in range(start, end, PAGE):
        with connections[using].cursor() as cursor:
            cursor.execute(
                f"{statement} WHERE l.index >= %s AND l.index < %s ORDER BY l.index", (first, min(first + PAGE, end))
            )
            yield [_row(*each) for each in cursor.fetchall()]


def _row(place: int, uid: UUID, payload: Any, salt: Any, body: Any) -> Row:
    """Make bytes of what the driver gives (Any: bytes or memoryview)."""
    return Row(place, uid, bytes(payload), None if salt is None else bytes(salt), None if body is None else bytes(body))
