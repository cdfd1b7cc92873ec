"""Write changes of many locked rows: one statement for rows of a kind, one event for each row, all in one go."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, models

from audit.actor import Actor
from audit.events import Event
from audit.governed import row_columns
from audit.log import record_many
from keys.doorbell import ring_after_commit
from keys.errors import Conflict
from keys.models import KeyVersion
from keys.sealing import mac_of
from keys.states import VERSION_MOVES, VersionState


@dataclass(frozen=True)
class _Change:
    row: models.Model
    names: tuple[str, ...]
    compared: str
    expected: object


@dataclass
class ManyChanges:
    """Collects what happens to rows that the operation has locked; `write` does it. A row changes once at most."""

    actor: Actor
    at: datetime
    correlation: str
    _changed: list[_Change] = field(default_factory=list)
    _added: dict[type[models.Model], list[models.Model]] = field(default_factory=lambda: defaultdict(list))
    _events: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        """Record what changes no row."""
        self._events.append(event)

    def change(
        self, row: models.Model, event: type[Event], *, columns: Mapping[str, Any], compared: str, **facts: Any
    ) -> None:
        """Change named columns of a row while its column `compared` still is what was read under the lock."""
        told = [str(row._meta.get_field(name).column) for name in columns]  # type: ignore[union-attr]
        before, expected = row_columns(row, told), getattr(row, compared)
        for name, value in columns.items():
            setattr(row, name, value)
        after = row_columns(row, told)
        change = {name: (before[name], after[name]) for name in after if before[name] != after[name]}
        self._changed.append(_Change(row, tuple(columns), compared, expected))
        self._events.append(event(target_id=str(row.pk), change=change, correlation=self.correlation, **facts))

    def move_version(
        self, version: KeyVersion, state: VersionState, event: type[Event], *, columns: Mapping[str, Any], **facts: Any
    ) -> None:
        """Move a version under a new row MAC, as keys.lifecycle.transitions does one: a forged row is never made sound."""
        now = VersionState(version.state)
        if state != now and state not in VERSION_MOVES[now]:
            raise Conflict("wrong_version_state", state=str(now), wanted=str(state))
        columns = {"state": str(state), **columns}
        after = copy.copy(version)
        for name, value in columns.items():
            setattr(after, name, value)
        row_mac = mac_of(after) if version.is_intact else version.row_mac
        facts["environment"] = version.managed_key.environment.tag
        self.change(version, event, columns={**columns, "row_mac": row_mac}, compared="state", **facts)

    def add(self, row: models.Model, event: type[Event], **facts: Any) -> None:
        """Write a new row."""
        change = {column: (None, value) for column, value in row_columns(row).items() if value is not None}
        self._added[type(row)].append(row)
        self._events.append(event(target_id=str(row.pk), change=change, correlation=self.correlation, **facts))

    def write(self) -> None:
        """Do it: changes before additions, for a key has one waiting version and one open rotation at most."""
        alike: dict[tuple[type[models.Model], tuple[str, ...], str], list[_Change]] = defaultdict(list)
        for each in self._changed:
            alike[type(each.row), each.names, each.compared].append(each)
        for (model, names, compared), changes in alike.items():
            _update(model, names, compared, changes)
        ring_after_commit()
        for added, rows in self._added.items():
            added._base_manager.bulk_create(rows)
        record_many(self._events, actor=self.actor, at=self.at)


def _update(model: type[models.Model], names: tuple[str, ...], compared: str, changes: list[_Change]) -> None:
    """Set the columns of all these rows in one UPDATE ... FROM; Conflict when one of them is not what was read."""
    fields = [_column(model, name) for name in names]
    compares = _column(model, compared)
    pk = _column(model, "id")
    quote = connection.ops.quote_name
    given = [(pk, [each.row.pk for each in changes])]
    given += [(each, [_prepared(each, getattr(change.row, each.attname)) for change in changes]) for each in fields]
    given.append((compares, [_prepared(compares, each.expected) for each in changes]))
    arrays = ", ".join(f"%s::{each.db_type(connection)}[]" for each, _ in given)
    columns = ", ".join(f"c{place}" for place in range(len(given)))
    new = ", ".join(f"{quote(each.column)} = given.c{place}" for place, each in enumerate(fields, start=1))
    statement = (  # names of our own models, quoted; every value is a parameter
        f"UPDATE {quote(model._meta.db_table)} kept SET {new} FROM unnest({arrays}) AS given ({columns}) "  # noqa: S608
        f"WHERE kept.{quote(pk.column)} = given.c0 "
        f"AND kept.{quote(compares.column)} IS NOT DISTINCT FROM given.c{len(given) - 1}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [values for _, values in given])
        if cursor.rowcount != len(changes):
            raise Conflict("changed_meanwhile")


def _column(model: type[models.Model], name: str) -> Any:  # Any: the stubs know no common kind of columns
    return model._meta.get_field(name)


def _prepared(column: Any, value: object) -> Any:  # Any: what the driver takes
    return column.get_db_prep_save(value, connection)
