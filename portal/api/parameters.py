"""Name the query parameters that an operation reads; every other, and every repeated one, is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from portal.api.pagination import DEFAULT_SIZE, LARGEST_SIZE, NEWEST, OLDEST
from portal.api.problems import BadRequest

SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
UUID_TEXT: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One allow-listed parameter: how it is read, which column it filters, how it is documented."""

    name: str
    lookup: str = ""
    read: Callable[[str], Any]  # Any: text, time or identifier
    described: OpenApiParameter


def _parameter(
    name: str, lookup: str, read: Callable[[str], Any], description: str, **schema: Any
) -> Parameter:  # Any: see Parameter; JSON Schema
    described = OpenApiParameter(name, {"type": "string", **schema}, description=description)
    return Parameter(name=name, lookup=lookup, read=read, described=described)


def choice(name: str, lookup: str, values: Iterable[str], description: str) -> Parameter:
    """One of some words."""
    allowed = [str(each) for each in values]

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return _parameter(name, lookup, read, description, enum=allowed)


def slug(name: str, lookup: str, description: str) -> Parameter:
    """The short name of a thing."""

    def read(text: str) -> str:
        if not SLUG.fullmatch(text):
            raise ValueError(text)
        return text

    return _parameter(name, lookup, read, description, pattern="^[a-z0-9][a-z0-9-]{0,39}$")


def word(name: str, description: str, *, pattern: str) -> Parameter:
    """A text of a known shape that the operation itself understands."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(text)
        return text

    return _parameter(name, "", read, description, pattern=f"^{pattern}$")


def public_name(name: str, lookup: str, description: str, *, pattern: str) -> Parameter:
    """What people and programs call a thing: its one group is what is looked up."""

    def read(text: str) -> str:
        match = re.fullmatch(pattern, text, re.ASCII)
        if match is None:
            raise ValueError(text)
        return match[1]

    return _parameter(name, lookup, read, description, pattern=f"^{pattern}$")


def identifier(name: str, lookup: str, description: str) -> Parameter:
    """The id of a row."""
    return _parameter(name, lookup, read_uuid, description, format="uuid")


def moment(name: str, lookup: str, description: str) -> Parameter:
    """A time with its zone (RFC 3339)."""

    def read(text: str) -> datetime:
        # A plus sign in an address means a blank; nobody writes a blank before a zone on purpose.
        at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else "")
        if at.tzinfo is None:
            raise ValueError(text)
        return at.astimezone(UTC)

    return _parameter(name, lookup, read, description, format="date-time")


def read_uuid(text: str) -> UUID:
    """Read an identifier in its one canonical spelling; ValueError otherwise."""
    if not UUID_TEXT.fullmatch(text):
        raise ValueError("not an identifier")
    return UUID(text)


CURSOR: Final = _parameter("cursor", "", str, "`next` of the page before.", maxLength=200)
LIMIT: Final = Parameter(
    name="limit",
    read=str,
    described=OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_SIZE, "default": DEFAULT_SIZE},
        description="How many on a page.",
    ),
)
ORDER: Final = choice("order", "", (NEWEST, OLDEST), "Newest first (as if nothing is said), or oldest first.")
PAGING: Final = (CURSOR, LIMIT, ORDER)


def values_of(request: Request, parameters: Iterable[Parameter]) -> dict[str, Any]:  # Any: see Parameter
    """Read what was given; BadRequest for what is unknown, repeated or cannot be read."""
    known = {each.name: each for each in parameters}
    found = {}
    for name, texts in request.query_params.lists():
        if name not in known:
            raise BadRequest("unknown_parameter", field=name[:80])
        if len(texts) != 1:
            raise BadRequest("repeated_parameter", field=name)
        try:
            found[name] = known[name].read(texts[0])
        except (ValueError, OverflowError) as error:
            raise BadRequest("invalid_parameter", field=name) from error
    return found


def narrowed(rows: QuerySet[Any], values: dict[str, Any], parameters: Iterable[Parameter]) -> QuerySet[Any]:
    """Filter by the parameters that name a column."""
    wanted = Q()
    for each in parameters:
        if each.lookup and each.name in values:
            wanted &= Q(**{each.lookup: values[each.name]})
    return rows.filter(wanted)
