"""Give every endpoint the same door: declared operations, strict input, keyset pages, problems."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, TypeVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.views import APIView

from audit.actor import Actor
from keys.errors import NotFound
from keys.operations import record_unseen
from portal.api import idempotency
from portal.api.pagination import KeysetPagination
from portal.api.parameters import Parameter, narrowed, read_uuid, values_of
from portal.api.permissions import Access, AsDeclared, access_of, cells

Endpoint = TypeVar("Endpoint", bound=Callable[..., Response])
_KEY_HEADER: Final = OpenApiParameter(
    idempotency.HEADER,
    {"type": "string", "pattern": r"^[\x21-\x7e]{1,200}$"},
    location=OpenApiParameter.HEADER,
    description="Send the same request again under the same key within 24 hours: it is done once and answered alike.",
)


def offered(
    operation: str,
    *,
    gives: Any,
    takes: type[Serializer[Any]] | None = None,
    status: int = 200,
    scopes: tuple[str, ...] = (),
    yes: str = "",
    hidden: str = "",
    invalid: str = "",
    reads: Iterable[Parameter] = (),
    replays: bool = True,
    by_devices: bool = True,
    media: str = "",
    tag: str,
) -> Callable[[Endpoint], Endpoint]:
    """Declare a handler: its name, who may call it, what it reads and gives. `replays`: takes an Idempotency-Key; `media`: of
    an answer that is no JSON.

    Any: a serializer class, an instance for many, or a schema.
    """
    parameters = tuple(reads)

    def wrap(handler: Endpoint) -> Endpoint:
        changes = handler.__name__ == "post"

        @functools.wraps(handler)
        def answer(door: Door, request: Request, *args: Any, **kwargs: Any) -> Response:
            door.values = values_of(request, parameters)
            if not changes:
                return handler(door, request, *args, **kwargs)
            if not replays:
                idempotency.refuse_key(request)
                return handler(door, request, *args, **kwargs)
            return idempotency.once(request, actor=door.actor, act=lambda: handler(door, request, *args, **kwargs))

        described = [each.described for each in parameters]
        access = Access(operation=operation, scopes=scopes, by_devices=by_devices, cells=cells(yes, hidden, invalid))
        answer.access = access  # type: ignore[attr-defined]  # read by portal.api.permissions
        schema = extend_schema(
            operation_id=operation,
            request=takes,
            responses={(status, media) if media else status: gives},
            parameters=[*described, _KEY_HEADER] if changes and replays else described,
            tags=[tag],
            extensions={"x-scopes": list(scopes), "x-roles": access.cells},
        )
        return cast("Endpoint", schema(answer))

    return wrap


class Door(APIView):
    """An endpoint: finds through `visible_to`, calls one operation, answers."""

    permission_classes: ClassVar[list[type[BasePermission]]] = [AsDeclared]  # type: ignore[misc]  # narrower than DRF's
    http_method_names: ClassVar[list[str]] = ["get", "head", "post", "put"]  # type: ignore[misc]  # DRF's is no ClassVar
    values: dict[str, Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a method that is not here before anybody is asked who they are."""
        if access_of(self, request.method or "") is None:
            raise MethodNotAllowed(request.method or "")
        super().initial(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        """Whoever calls; the permission let nobody else through."""
        user: object = self.request.user  # ours, not one of Django's
        assert isinstance(user, Actor)
        return user

    def handle_exception(self, exc: Exception) -> Response:
        """Put on record that somebody tried to act on what they may not see; then answer as always."""
        if isinstance(exc, NotFound) and self.request.method not in SAFE_METHODS:
            # Only now: whoever was refused as a caller would be refused here again, and that would be a fault of ours.
            user = cast("object", self.request.user)
            if isinstance(user, Actor):
                record_unseen(type(self).__name__, actor=user)
        return super().handle_exception(exc)

    def read(self, kind: type[Serializer[Any]]) -> dict[str, Any]:
        """Read the body strictly."""
        serializer = kind(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def show(self, kind: type[BaseSerializer[Any]], row: Any, *, status: int = 200) -> Response:
        """Answer with one thing."""
        return Response(kind(row, context={"actor": self.actor}).data, status=status)

    def page(self, kind: type[BaseSerializer[Any]], rows: QuerySet[Any], parameters: Iterable[Parameter]) -> Response:
        """Answer with one page of what the parameters leave."""
        pages = KeysetPagination()
        found = pages.paginate_queryset(narrowed(rows, self.values, parameters), self.request, self)
        return pages.get_paginated_response(kind(found, many=True, context={"actor": self.actor}).data)


def found(rows: QuerySet[Any], text: str) -> Any:  # Any: a row of whatever model
    """Find one row among those that may be seen; what cannot be an identifier names nothing."""
    try:
        row = rows.filter(pk=read_uuid(text)).first()
    except ValueError:
        row = None
    if row is None:
        raise NotFound
    return row
