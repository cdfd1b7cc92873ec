"""Write a governed row as the log has it: the columns that differ, or the whole row where it is missing."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache

from django.apps import apps
from django.db import connection, models
from django.db.models import BinaryField, CharField, Field, TextField

from audit.canonical import JsonValue
from audit.governed import GovernedTable, column_value, governed_tables

Columns = dict[str, JsonValue]
LOST = "(lost)"


@dataclass(kw_only=True)
class Placed:
    """How a row followed: which columns were written, what its event changes, and how a version without a secret ended."""

    target_type: str
    row_id: str
    is_new: bool = False
    columns: tuple[str, ...] = ()
    change: dict[str, tuple[JsonValue, JsonValue]] = field(default_factory=dict)
    told: Columns = field(default_factory=dict)
    end: Columns = field(default_factory=dict)


@cache
def model_of(target_type: str) -> type[models.Model]:
    """Return the model of a governed table."""
    table = governed_tables()[target_type].table
    return next(each for each in apps.get_models() if each._meta.db_table == table)


def stored_row(target_type: str, row_id: str) -> Columns | None:
    """Return the governed columns of a row as they are, locked; None when it is not there."""
    table = governed_tables()[target_type]
    name, pk = _quoted(table.table), _quoted(table.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT to_jsonb(stored) FROM {name} stored WHERE stored.{pk}::text = %s FOR NO KEY UPDATE",  # noqa: S608 (names from the registry, quoted)
            (row_id,),
        )
        found = cursor.fetchone()
    return None if found is None else _parsed(found[0])


def as_stored(target_type: str, columns: Columns) -> Columns:
    """Return columns in the spelling of the database, so that they can be compared with a stored row."""
    name = _quoted(governed_tables()[target_type].table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT to_jsonb(jsonb_populate_record(NULL::{name}, %s::jsonb))", (json.dumps(columns),))
        return _parsed(cursor.fetchone()[0])


def write_columns(target_type: str, row_id: str, columns: Columns) -> None:
    """Change these columns of a row and no others; a role may have rights on few."""
    table = governed_tables()[target_type]
    name, pk = _quoted(table.table), _quoted(table.pk)
    told = ", ".join(f"{_quoted(each)} = given.{_quoted(each)}" for each in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {name} stored SET {told} FROM jsonb_populate_record(NULL::{name}, %s::jsonb) given"  # noqa: S608 (as above)
            f" WHERE stored.{pk}::text = %s",
            (json.dumps(columns), row_id),
        )


def insert_row(target_type: str, columns: Columns, *, unknown: Collection[str]) -> None:
    """Insert a row that the database never had; what the log does not hold is empty, or says that it is lost."""
    table = governed_tables()[target_type]
    whole = {**_defaults(table), **columns, **_lost(table, unknown, str(columns[table.pk]))}
    name, listed = _quoted(table.table), ", ".join(_quoted(each) for each in whole)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} ({listed}) SELECT {listed} FROM jsonb_populate_record(NULL::{name}, %s::jsonb)",  # noqa: S608 (as above)
            (json.dumps(whole),),
        )


def _defaults(table: GovernedTable) -> Columns:
    """Return what the log never holds, as a new row would have it."""
    fields = {each.column: each for each in model_of(table.target_type)._meta.concrete_fields}
    return {name: _empty(fields[name]) for name in table.excluded}


def _lost(table: GovernedTable, unknown: Collection[str], row_id: str) -> Columns:
    fields = {each.column: each for each in model_of(table.target_type)._meta.concrete_fields}
    lost: Columns = {}
    for name in unknown:
        is_text = isinstance(fields[name], CharField | TextField)
        # An address is unique; nobody can sign in with this one, and no mail leaves for it.
        words = f"lost-{row_id}@lost.invalid" if fields[name].unique else LOST
        lost[name] = words if is_text else _empty(fields[name])
    return lost


def _empty(column: Field) -> JsonValue:  # type: ignore[type-arg]  # any column
    if column.has_default():
        return column_value(column.get_default())
    if column.null:
        return None
    if isinstance(column, BinaryField):
        return "\\x"
    return "" if isinstance(column, CharField | TextField) else 0


def _quoted(name: str) -> str:
    return str(connection.ops.quote_name(name))


def _parsed(value: str | Mapping[str, JsonValue]) -> Columns:
    # Django leaves jsonb as text when no field of a model is involved.
    found: Columns = json.loads(value) if isinstance(value, str) else dict(value)
    return found
