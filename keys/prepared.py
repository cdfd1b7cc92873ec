"""Write a statement once and run it with other values: writing a large one costs Django more than running it costs the server."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import DateTimeField, Expression, Field, QuerySet, UUIDField

from audit.bound import bound_cursor


class _Later(Expression):
    """A value that a statement is given when it runs; a query takes it wherever it takes the value."""

    kind: ClassVar[type[Field[Any, Any]]]
    sql = "%s"

    def __init__(self, name: str) -> None:
        super().__init__(output_field=self.kind())
        self.name = name

    def as_sql(self, *_args: object) -> tuple[str, Any]:
        """Write the place of the value, and be its parameter (Any: Django's types know none but plain values)."""
        return self.sql, [self]


class LaterInstant(_Later):
    """An instant, from which a query may count days back or on."""

    kind = DateTimeField


class LaterId(_Later):
    """One identifier."""

    kind = UUIDField


class LaterIds(_Later):
    """A list of identifiers, for `__in`."""

    kind = UUIDField
    sql = "(SELECT unnest(%s::uuid[]))"


class Prepared:
    """A statement that is written. Its values are bound by the server, which plans it once a session."""

    def __init__(self, rows: QuerySet[Any, Any]) -> None:
        self._sql, self._params = rows.query.get_compiler("default").as_sql()

    def run(self, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows, as the server told them; KeyError when a value is missing."""
        given: list[Any] = [values[each.name] if isinstance(each, _Later) else each for each in self._params]
        with bound_cursor() as cursor:
            cursor.execute(self._sql, given)
            return list(cursor.fetchall())
