"""Describe the interface in OpenAPI 3.1: what drf-spectacular reads from the code, and what holds for all of it."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.api.problems import CONTENT_TYPE, STATUSES, TITLES
from portal.oauth import openapi as oauth

_OF_EVERY: Final = (400, 401, 403, 404, 405, 406, 429, 503)
_OF_CHANGES: Final = (409, 410, 413, 415, 422, 428)
_PROBLEM: Final[dict[str, Any]] = {  # Any: JSON Schema
    "type": "object",
    "description": "A problem (RFC 9457). `code` is stable; `rule` names the rule of the policy that said no.",
    "required": ["type", "title", "status", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "enum": list(STATUSES)},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "rule": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code"],
                "properties": {
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's own metaclass
    """People."""

    target_class = "portal.api.authentication.SessionWithMfa"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # Any: drf-spectacular's own
        """Name the cookie."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The session of a person with a second factor. Changes also need the X-CSRFToken header.",
        }


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's own metaclass
    """Programs."""

    target_class = "portal.api.authentication.ManagedKey"
    name = "managedKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # Any: drf-spectacular's own
        """Name the header."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A managed key of the service `keystead`; `x-scopes` says which scope an operation needs.",
        }


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's own metaclass
    """People at a command line."""

    target_class = "portal.api.device_tokens.DeviceToken"
    name = "deviceToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # Any: drf-spectacular's own
        """Name the header."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of a device that a person allowed to act for them (RFC 8628, docs/api.md). What needs a"
            " step-up is refused: that is proved in a browser.",
        }


class SignatureScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's own metaclass
    """Programs that sign."""

    target_class = "portal.api.signatures.SignedByKey"
    name = "signedRequest"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # Any: drf-spectacular's own
        """Name the header."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Signature",
            "description": "With `Signature-Input`: the request signed by a managed key of the service `keystead`"
            " (RFC 9421), in the one form of docs/signed-requests.md.",
        }


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: FBT001
    """Add the refusals that every operation can give, and close the bodies that take no other member.

    Any: OpenAPI is nested JSON; the other parameters are drf-spectacular's own.
    """
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for name, schema in schemas.items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False
    answers = components.setdefault("responses", {})
    for status in STATUSES:
        answers[f"Problem{status}"] = {
            "description": TITLES[status],
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    answers["Problem401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    for operations in result["paths"].values():
        for method, operation in operations.items():
            statuses = _OF_EVERY + (_OF_CHANGES if method in ("post", "put") else (409,))
            for status in statuses:
                operation["responses"].setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
            operation["responses"] = dict(sorted(operation["responses"].items()))
    # The doors of OAuth 2.0 have words of their own for refusals, and are no part of REST.
    schemas.update(oauth.SHAPES)
    result["paths"].update(oauth.PATHS)
    return result


@cache
def document() -> dict[str, Any]:  # Any: OpenAPI is nested JSON
    """Return the whole document, made once a process: making it takes long enough to be an attack."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


class Document(APIView):
    """Show the document to everybody: it holds nothing that is not in the documentation."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (JSONRenderer,)
    schema = None

    def get(self, request: Request) -> Response:
        """Answer with OpenAPI 3.1 as JSON."""
        return Response(document())
