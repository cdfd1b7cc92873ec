"""Page by key: a page costs the same however far one reads, and no row is skipped when others are added."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Model, Q
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.api.problems import BadRequest

DEFAULT_SIZE: Final = 50
LARGEST_SIZE: Final = 100
NEWEST, OLDEST = "newest", "oldest"
_SIZE: Final = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,200}={0,2}", re.ASCII)


class KeysetPagination(BasePagination):
    """Pages in the order of (created_at, id); `cursor` is opaque to the caller."""

    following: str | None = None

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any]:  # Any: a queryset and rows of whatever model
        """Return one page and remember where the next begins."""
        size = page_size(request)
        descending = order_of(request) == NEWEST
        position = _read(request.query_params["cursor"]) if "cursor" in request.query_params else None
        if position is not None:
            queryset = queryset.filter(_after(position, descending=descending))
        sign = "-" if descending else ""
        rows = list(queryset.order_by(f"{sign}created_at", f"{sign}id")[: size + 1])
        self.following = _write(rows[size - 1]) if len(rows) > size else None
        return rows[:size]

    def get_paginated_response(self, data: Any) -> Response:  # Any: what a serializer made
        """Wrap a page."""
        return Response({"results": data, "next": self.following})


def page_size(request: Request) -> int:
    """Read `limit`."""
    text = request.query_params.get("limit", str(DEFAULT_SIZE))
    if not _SIZE.fullmatch(text) or int(text) > LARGEST_SIZE:
        raise BadRequest("invalid_parameter", field="limit")
    return int(text)


def order_of(request: Request) -> str:
    """Read `order`."""
    text = request.query_params.get("order", NEWEST)
    if text not in (NEWEST, OLDEST):
        raise BadRequest("invalid_parameter", field="order")
    return text


def _after(position: tuple[datetime, UUID], *, descending: bool) -> Q:
    at, pk = position
    if descending:
        return Q(created_at__lte=at) & (Q(created_at__lt=at) | Q(id__lt=pk))
    return Q(created_at__gte=at) & (Q(created_at__gt=at) | Q(id__gt=pk))


def _write(row: Model) -> str:
    at = row.created_at.astimezone(UTC).isoformat()  # type: ignore[attr-defined]  # every Row has it
    return urlsafe_b64encode(f"{at}/{row.pk}".encode()).decode().rstrip("=")


def _read(text: str) -> tuple[datetime, UUID]:
    try:
        if not _CURSOR.fullmatch(text):
            raise ValueError("not a cursor")
        at, _, pk = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition("/")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("not a cursor")
        return moment.astimezone(UTC), UUID(pk)
    except (ValueError, OverflowError) as error:
        raise BadRequest("invalid_parameter", field="cursor") from error
