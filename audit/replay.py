"""Rebuild every governed table from the events alone, and say where it differs from what is stored.

Only payloads and private parts are read, never the projected columns. The order is the events' own id: events on one row
follow its row lock, so for one row it is the order of the commits. Where a private part was erased, the value of a private
column is unknown and is not compared; every such row is counted.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, connections, transaction

from audit.canonical import JsonValue, parse_strict
from audit.envelope import commitment
from audit.erasures import read_erasures
from audit.governed import GovernedTable, governed_tables
from audit.restored import read_restored

TEMPORARY = "pg_temp"
"""The schema of temporary tables: a reader needs no right to create anything lasting."""

_WITH_PRIVATE = """
SELECT event.id, leaf.index, event.payload, private.salt, private.body FROM audit_event event
LEFT JOIN audit_leaf leaf ON leaf.event_id = event.id
LEFT JOIN audit_private private ON private.event_id = event.id
"""
_PAGE = 2_000
_EXAMPLES = 50

Row = dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One place where the table does not say what the events say; `column` is empty when the whole row is at fault."""

    table: str
    row: str
    column: str
    replayed: JsonValue
    stored: JsonValue

    def __str__(self) -> str:
        if not self.column:
            return f"{self.table} {self.row}: {self.replayed}"
        return f"{self.table} {self.row} {self.column}: events say {self.replayed!r}, table says {self.stored!r}"


@dataclass(kw_only=True)
class Replay:
    """What the events say: rows by target type and id, and what was wrong with the events themselves."""

    events: int = 0
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    archived: int = 0
    unknown: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """One event as read: what it is about, what it changes, and whether its private part can be believed."""

    uid: str
    index: int | None
    target_type: str
    target_id: str
    change: Mapping[str, list[JsonValue]]
    hidden: Mapping[str, list[JsonValue]] | None


def read_events(using: str = "default", archived: Iterable[bytes] = (), *, upto_leaf: int | None = None) -> Replay:
    """Fold all events, oldest first, into the rows they describe; `archived` are the payloads of those that were pruned.

    The order of an archive is that of the leaves: for one row it is that of the commits too. Private parts are in no archive.
    With `upto_leaf` only what was sealed before that leaf is folded.
    """
    tables = governed_tables()
    replay = Replay(rows={name: {} for name in tables})
    for payload in archived:
        event, _ = _told(payload, None, None, None)
        replay.archived += 1
        if table := tables.get(event.target_type):
            _apply(replay, table, event)
    erased, restored = read_erasures(using), read_restored(using)
    by_leaf = bool(restored.recoveries) or upto_leaf is not None
    for event, body_state in _events_by_leaf(using, upto_leaf) if by_leaf else _events(using):
        replay.events += 1
        if body_state == "changed":
            replay.findings.append(f"event {event.uid}: its private part is not the one it was recorded with")
        elif body_state == "missing" and not (erased.covers(event.uid, event.index) or restored.lost(event.index)):
            replay.findings.append(f"event {event.uid}: its private part is gone, and no pii.erased names it")
        table = tables.get(event.target_type)
        if table is not None:
            # Whoever wrote between a restore and the recovery did not know what the lost events had changed.
            _apply(replay, table, event, is_contested=restored.contested(event.index))
    return replay


def replay_into(schema: str, using: str = "default", archived: Iterable[bytes] = ()) -> Replay:
    """Read the events and build their rows in the empty `schema`, with the types of the real columns."""
    replay = read_events(using, archived)
    connection = connections[using]
    quote = connection.ops.quote_name
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for target_type, table in governed_tables().items():
            copy, original = _copy(schema, table, quote), f"public.{quote(table.table)}"
            columns = ", ".join(quote(each) for each in table.columns)
            cursor.execute(f"CREATE TABLE {copy} AS SELECT {columns} FROM {original} WITH NO DATA")  # noqa: S608 (names from the registry, quoted)
            rows = list(replay.rows[target_type].values())
            for start in range(0, len(rows), _PAGE):
                replay.findings.extend(_build(cursor, copy, table, rows[start : start + _PAGE], using=using))
            pk = quote(table.pk)
            cursor.execute(f"CREATE INDEX ON {copy} ({pk})")
            for (unknown_type, row_id), names in sorted(replay.unknown.items()):
                if unknown_type == target_type and names:
                    taken = ", ".join(f"{quote(name)} = stored.{quote(name)}" for name in sorted(names))
                    cursor.execute(
                        f"UPDATE {copy} copy SET {taken} FROM {original} stored"  # noqa: S608 (as above)
                        f" WHERE copy.{pk} = stored.{pk} AND stored.{pk}::text = %s",
                        (row_id,),
                    )
    return replay


def _build(cursor: Any, copy: str, table: GovernedTable, rows: list[Row], *, using: str) -> list[str]:
    """Insert `rows`, one by one where one of them has no form as a row (Any: Django's cursor is untyped)."""
    try:
        with transaction.atomic(using=using):
            cursor.execute(
                f"INSERT INTO {copy} SELECT * FROM jsonb_populate_recordset(NULL::{copy}, %s::jsonb)",  # noqa: S608 (as above)
                (json.dumps(rows),),
            )
    except DataError as error:
        if len(rows) == 1:
            reason = str(error).splitlines()[0]
            return [f"{table.table} {rows[0][table.pk]}: events give a value that no column can hold: {reason}"]
        return [each for row in rows for each in _build(cursor, copy, table, [row], using=using)]
    return []


def differences(schema: str, using: str = "default") -> Iterator[Difference]:
    """Compare each rebuilt table with the stored one, both ways; at most _EXAMPLES rows a table are spelt out."""
    connection = connections[using]
    quote = connection.ops.quote_name
    for table in governed_tables().values():
        copy, original = _copy(schema, table, quote), f"public.{quote(table.table)}"
        columns, pk = ", ".join(quote(each) for each in table.columns), quote(table.pk)
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH gone AS (SELECT {columns} FROM {copy} EXCEPT ALL SELECT {columns} FROM {original}),"  # noqa: S608 (as above)
                f" extra AS (SELECT {columns} FROM {original} EXCEPT ALL SELECT {columns} FROM {copy})"
                f" SELECT coalesce(gone.{pk}, extra.{pk})::text, to_jsonb(gone), to_jsonb(extra)"
                f" FROM gone FULL JOIN extra ON gone.{pk} = extra.{pk} ORDER BY 1"
            )
            for shown, (row_id, replayed, stored) in enumerate(cursor, start=1):
                if shown > _EXAMPLES:
                    message = "more rows differ; the first are listed"
                    yield Difference(table=table.table, row="...", column="", replayed=message, stored=None)
                    break
                yield from _row_differences(table, row_id, _jsonb(replayed), _jsonb(stored))


def _row_differences(
    table: GovernedTable, row_id: str, replayed: Row | None, stored: Row | None
) -> Iterator[Difference]:
    if replayed is None or stored is None:
        words = "in the table, but in no event" if replayed is None else "in the events, but not in the table"
        yield Difference(table=table.table, row=row_id, column="", replayed=words, stored=None)
        return
    for column in table.columns:
        if replayed[column] != stored[column]:
            yield Difference(
                table=table.table, row=row_id, column=column, replayed=replayed[column], stored=stored[column]
            )


def _jsonb(value: str | Row | None) -> Row | None:
    # Django leaves jsonb as text when no field of a model is involved.
    parsed: Row | None = json.loads(value) if isinstance(value, str) else value
    return parsed


def _copy(schema: str, table: GovernedTable, quote: Callable[[str], str]) -> str:
    return f"{quote(schema)}.{quote(table.table)}"


def _apply(replay: Replay, table: GovernedTable, event: _Told, *, is_contested: bool = False) -> None:
    """Fold one event on a governed row into the rows."""
    rows = replay.rows[event.target_type]
    where = (event.target_type, event.target_id)
    if event.hidden is None and table.private:
        replay.unknown.setdefault(where, set()).update(table.private)
    change = {**event.change, **(event.hidden or {})}
    if not change:
        return
    row = rows.get(event.target_id)
    birth = row is None
    if row is None:
        row = rows[event.target_id] = dict.fromkeys(table.columns)
        row[table.pk] = change[table.pk][1] if table.pk in change else event.target_id
        if table.pk not in change:
            replay.findings.append(f"event {event.uid}: changes {_name(event)}, which no event created")
    for column, (old, new) in change.items():
        if column not in row:
            replay.findings.append(f"event {event.uid}: {_name(event)} has no column {column}")
            continue
        unknown = replay.unknown.get(where, set())
        if not (birth or is_contested) and column not in unknown and column != table.pk and row[column] != old:
            replay.findings.append(
                f"event {event.uid}: {_name(event)} {column} was {row[column]!r} before, not {old!r}"
            )
        row[column] = new
        unknown.discard(column)
    if row[table.pk] is None:
        del rows[event.target_id]
        replay.unknown.pop(where, None)


def _name(event: _Told) -> str:
    return f"{event.target_type} {event.target_id}"


def _events(using: str) -> Iterator[tuple[_Told, str]]:
    """Yield every event with the state of its private part: kept, missing or changed."""
    last = 0
    while True:
        with connections[using].cursor() as cursor:
            cursor.execute(
                f"{_WITH_PRIVATE} WHERE event.id > %s ORDER BY event.id LIMIT %s",
                (last, _PAGE),
            )
            page = cursor.fetchall()
        for number, index, payload, salt, body in page:
            last = number
            yield _told(bytes(payload), index, salt, body)
        if len(page) < _PAGE:
            return


def _events_by_leaf(using: str, upto_leaf: int | None) -> Iterator[tuple[_Told, str]]:
    """Yield the events in the order of the log, then those that wait: recovered events have later ids than they had."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT coalesce(max(index) + 1, 0) FROM audit_leaf")
        size = int(cursor.fetchone()[0])
    size = size if upto_leaf is None else min(size, upto_leaf)
    for first in range(0, size, _PAGE):
        with connections[using].cursor() as cursor:
            cursor.execute(
                f"{_WITH_PRIVATE} WHERE leaf.index >= %s AND leaf.index < %s ORDER BY leaf.index",
                (first, min(first + _PAGE, size)),
            )
            page = cursor.fetchall()
        for _, index, payload, salt, body in page:
            yield _told(bytes(payload), index, salt, body)
    if upto_leaf is not None:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"{_WITH_PRIVATE} WHERE leaf.index >= %s OR leaf.index IS NULL ORDER BY leaf.index NULLS LAST, event.id",
            (size,),
        )
        for _, index, payload, salt, body in cursor.fetchall():
            yield _told(bytes(payload), index, salt, body)


def _told(payload: bytes, index: int | None, salt: bytes | None, body: bytes | None) -> tuple[_Told, str]:
    envelope = parse_strict(payload)
    hidden: Mapping[str, list[JsonValue]] | None = None
    if salt is None or body is None:
        state = "missing"
    elif not hmac.compare_digest(commitment(bytes(salt), bytes(body)), str(_at(envelope, "private", "commitment"))):
        state = "changed"
    else:
        state = "kept"
        hidden = _at(parse_strict(bytes(body)), "change") or {}
    told = _Told(
        uid=str(_at(envelope, "uid")),
        index=index,
        target_type=str(_at(envelope, "target", "type")),
        target_id=str(_at(envelope, "target", "id")),
        change=_at(envelope, "change") or {},
        hidden=hidden,
    )
    return told, state


def _at(value: JsonValue, *path: str) -> Any:
    """Return what lies at `path`, or None (Any: the envelope's form was checked when it was written)."""
    found: Any = value
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
