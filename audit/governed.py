"""Name the tables whose every change needs an audit event, and let the database hold to it.

`@governed` enters a model in the registry that operations (which columns go to `change`) and the replay (which tables to
rebuild) read. `GuardTable` in a migration makes the database abort a COMMIT that changed a governed column without an
event; `AppendOnly` makes it refuse every update, delete and truncate. The text of the triggers is in audit.protection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Model

from audit.canonical import JsonValue
from audit.protection import (
    append_only_sql,
    drop_append_only_sql,
    drop_guard_sql,
    guard_sql,
)

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, kw_only=True)
class GovernedTable:
    """A table whose rows are the sum of their events; `columns` are all but the excluded ones, pk first."""

    target_type: str
    table: str
    pk: str
    columns: tuple[str, ...]
    private: frozenset[str]
    excluded: Mapping[str, str]


_tables: dict[str, GovernedTable] = {}
_NO_COLUMNS: frozenset[str] = frozenset()


def governed(
    target_type: str, *, private: Iterable[str] = (), excluded: Mapping[str, str] | None = None
) -> Callable[[type[M]], type[M]]:
    """Enter a model: its rows change only with an event on `target_type`.

    `private` columns are personal or free text and travel in the private part; `excluded` columns are in no event, each
    with the reason. All names are column names.
    """
    left_out = dict(excluded or {})
    hidden = frozenset(private)

    def enter(model: type[M]) -> type[M]:
        meta = model._meta
        pk = str(meta.pk.column)
        names = [str(each.column) for each in meta.concrete_fields]
        unknown = (hidden | left_out.keys()) - set(names)
        if unknown or pk in hidden | left_out.keys():
            raise ValueError(f"{meta.label}: {sorted(unknown) or pk} cannot be private or excluded")
        if target_type in _tables and _tables[target_type].table != meta.db_table:
            raise ValueError(f"{target_type} already belongs to {_tables[target_type].table}")
        _tables[target_type] = GovernedTable(
            target_type=target_type,
            table=meta.db_table,
            pk=pk,
            columns=(pk, *(each for each in names if each != pk and each not in left_out)),
            private=hidden,
            excluded=MappingProxyType(left_out),
        )
        return model

    return enter


def governed_tables() -> Mapping[str, GovernedTable]:
    """Return every governed table, by target type."""
    return MappingProxyType(_tables)


def governed_of(model: type[Model]) -> GovernedTable:
    """Return the entry of `model`; raise LookupError when it is not governed."""
    for table in _tables.values():
        if table.table == model._meta.db_table:
            return table
    raise LookupError(f"{model._meta.label} is not governed")


def private_columns(target_type: str) -> frozenset[str]:
    """Return the columns of `target_type` that may not appear in a payload."""
    table = _tables.get(target_type)
    return table.private if table else _NO_COLUMNS


def row_columns(row: Model, names: Iterable[str] | None = None) -> dict[str, JsonValue]:
    """Return the governed columns of `row` (or those of `names`) as the values that events carry."""
    wanted = None if names is None else set(names)
    table = governed_of(type(row))
    return {
        str(each.column): column_value(getattr(row, each.attname))
        for each in row._meta.concrete_fields
        if each.column in table.columns and (wanted is None or each.column in wanted)
    }


def column_value(value: object) -> JsonValue:  # noqa: PLR0911 (one line for each type)
    """Write a column's value as JSON from which PostgreSQL can restore exactly that value; floats have no such form."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        # An enumeration of text is its value: `f"{value}"` of a StrEnum or Django's TextChoices.
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, UUID | IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("a time without a zone")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"P{value.days}DT{value.seconds}.{value.microseconds:06d}S"
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(key): column_value(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        raise TypeError("a set has no order: sort it into a list")
    if isinstance(value, Sequence):
        return [column_value(item) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be written to the audit log")


class _TableOperation(Operation):
    """Run SQL on one table, both ways."""

    reversible = True
    reduces_to_sql = True

    def __init__(self, table: str) -> None:
        self.table = table

    def forward_sql(self) -> str:
        raise NotImplementedError

    def backward_sql(self) -> str:
        raise NotImplementedError

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing in Django's picture of the models."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        schema_editor.execute(self.forward_sql(), params=None)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        schema_editor.execute(self.backward_sql(), params=None)


class GuardTable(_TableOperation):
    """Abort COMMIT when a governed column of `table` changed and no event of the transaction names the row.

    `columns` are those of the registry at the time of the migration; a new governed column needs a new GuardTable.
    """

    def __init__(self, table: str, target_type: str, columns: Sequence[str], pk: str = "id") -> None:
        if isinstance(columns, str):
            raise TypeError("columns is a list of names")
        super().__init__(table)
        self.target_type = target_type
        self.columns = tuple(columns)
        self.pk = pk

    def forward_sql(self) -> str:
        return guard_sql(self.table, self.target_type, columns=self.columns, pk=self.pk)

    def backward_sql(self) -> str:
        return drop_guard_sql(self.table)

    def describe(self) -> str:
        return f"Guard {self.table}: every change needs an event on {self.target_type}"


class AppendOnly(_TableOperation):
    """Refuse update, delete and truncate on `table`, for every role.

    `event_column` is only for the log's own rows: retention and erasure delete them by the rules of audit_keep.
    """

    def __init__(self, table: str, event_column: str | None = None) -> None:
        super().__init__(table)
        self.event_column = event_column

    def forward_sql(self) -> str:
        return append_only_sql(self.table, event_column=self.event_column)

    def backward_sql(self) -> str:
        return drop_append_only_sql(self.table)

    def describe(self) -> str:
        return f"Make {self.table} append-only"
