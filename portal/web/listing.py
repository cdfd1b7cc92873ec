"""Sort lists by an allow-list and page through them by keyset."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Field, Model, Q, QuerySet
from django.http import HttpRequest

Row = TypeVar("Row", bound=Model)
PAGE_SIZE = 50
LONGEST_CURSOR = 300


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """The order of a list: one of `allowed`, with a minus for descending."""

    current: str
    allowed: tuple[str, ...]

    @classmethod
    def chosen(cls, http: HttpRequest, *, allowed: tuple[str, ...], default: str) -> "Sorting":
        """Read `?sort=`; anything outside the allow-list means the default, and is never an error."""
        asked = http.GET.get("sort", "")
        return cls(current=asked if asked.removeprefix("-") in allowed else default, allowed=allowed)

    def direction_of(self, name: str) -> str:
        """Say `ascending`, `descending`, or nothing when the list is sorted by something else."""
        if self.current.removeprefix("-") != name:
            return ""
        return "descending" if self.current.startswith("-") else "ascending"

    def toggled(self, name: str) -> str:
        """Name the order that a click on the heading of `name` asks for."""
        return f"-{name}" if self.direction_of(name) == "ascending" else name


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows, and the cursors before and after them (empty when there is nothing there)."""

    rows: list[Row]
    previous: str = ""
    next: str = ""

    def __bool__(self) -> bool:
        return bool(self.rows)


def keyset_page(queryset: QuerySet[Row], http: HttpRequest, *, order: str, size: int = PAGE_SIZE) -> Page[Row]:
    """Return the page that `?cursor=` asks for, ordered by `order` (a column without NULL) and then by primary key.

    A cursor that does not parse means the first page: links grow old, and an old link is no attack.
    """
    name = order.removeprefix("-")
    descending = order.startswith("-")
    backward, place = _parsed(queryset, http.GET.get("cursor", ""), name)
    against = descending != backward
    sign = "-" if against else ""
    rows = queryset.order_by(f"{sign}{name}", f"{sign}pk")
    if place is not None:
        value, pk = place
        side = "lt" if against else "gt"
        rows = rows.filter(Q(**{f"{name}__{side}": value}) | Q(**{name: value, f"pk__{side}": pk}))
    found = list(rows[: size + 1])
    more, found = len(found) > size, found[:size]
    if backward:
        found.reverse()
    has_previous, has_next = (more, True) if backward else (place is not None, more)
    if not found:
        return Page(rows=[])
    return Page(
        rows=found,
        previous=_cursor(found[0], name, backward=True) if has_previous else "",
        next=_cursor(found[-1], name, backward=False) if has_next else "",
    )


def _column(model: type[Model], name: str) -> "Field[Any, Any]":
    found = model._meta.get_field(name)
    if not isinstance(found, Field):
        raise FieldDoesNotExist(name)
    return found


def _cursor(row: Model, name: str, *, backward: bool) -> str:
    field = _column(type(row), name)
    place = [int(backward), field.value_to_string(row), str(row.pk)]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _parsed(queryset: QuerySet[Row], cursor: str, name: str) -> tuple[bool, tuple[object, object] | None]:
    if not cursor or len(cursor) > LONGEST_CURSOR:
        return False, None
    meta = queryset.model._meta
    try:
        backward, value, pk = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if backward not in {0, 1} or not isinstance(value, str) or not isinstance(pk, str) or "\0" in value + pk:
            return False, None
        place = (_column(queryset.model, name).to_python(value), meta.pk.to_python(pk))
    except (binascii.Error, ValueError, TypeError, ValidationError, FieldDoesNotExist, AttributeError):
        return False, None
    return bool(backward), place
