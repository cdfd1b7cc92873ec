"""Describe the doors of OAuth 2.0 in OpenAPI 3.1, for the document of the site; Schemathesis holds them to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keys.models.devices import LONGEST_NAME
from portal.oauth.metadata import DEVICE_GRANT
from portal.oauth.reading import CLIENT

Shape = dict[str, Any]  # Any: OpenAPI is nested JSON
METADATA: Final = "/.well-known/oauth-authorization-server"

_TEXT: Final[Shape] = {"type": "string", "minLength": 1}
_SECONDS: Final[Shape] = {"type": "integer", "minimum": 1}
_ADDRESS: Final[Shape] = {"type": "string", "format": "uri"}
_NAMES: Final[Shape] = {"type": "array", "items": {"type": "string"}}
_CLIENT: Final[Shape] = {"type": "string", "const": CLIENT, "description": "There is one client, and it has no secret."}
_ERRORS: Final = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_token_type",
    "authorization_pending",
    "slow_down",
    "access_denied",
    "expired_token",
)


def _object(properties: Shape, *, required: Sequence[str] | None = None) -> Shape:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
    }


SHAPES: Final[dict[str, Shape]] = {
    "OAuthError": {
        **_object({"error": {"type": "string", "enum": list(_ERRORS)}, "error_description": _TEXT}, required=["error"]),
        "description": "An error in the words of RFC 6749, section 5.2, and RFC 8628, section 3.5.",
    },
    "DeviceAuthorization": _object(
        {
            "device_code": _TEXT,
            "user_code": {"type": "string", "pattern": "^[B-Z]{4}-[B-Z]{4}$"},
            "verification_uri": _ADDRESS,
            "verification_uri_complete": _ADDRESS,
            "expires_in": _SECONDS,
            "interval": _SECONDS,
        }
    ),
    "DeviceAccessToken": _object(
        {"access_token": _TEXT, "token_type": {"type": "string", "const": "Bearer"}, "expires_in": _SECONDS}
    ),
    "AuthorizationServer": _object(
        {
            "issuer": _ADDRESS,
            "device_authorization_endpoint": _ADDRESS,
            "token_endpoint": _ADDRESS,
            "token_endpoint_auth_methods_supported": _NAMES,
            "revocation_endpoint": _ADDRESS,
            "revocation_endpoint_auth_methods_supported": _NAMES,
            "response_types_supported": _NAMES,
            "grant_types_supported": _NAMES,
        },
        required=["issuer", "token_endpoint", "response_types_supported", "grant_types_supported"],
    ),
}


def _json(name: str, words: str, **headers: str) -> Shape:
    told: Shape = {
        "description": words,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }
    if headers:
        told["headers"] = {
            each.replace("_", "-"): {"schema": {"type": kind}, "required": True} for each, kind in headers.items()
        }
    return told


_REFUSALS: Final[Shape] = {
    "400": _json("OAuthError", "Refused, or not yet; `error` says which"),
    "401": _json("OAuthError", "There are no client secrets here", WWW_Authenticate="string"),
    "405": _json("OAuthError", "Another method than POST", Allow="string"),
    "503": {"$ref": "#/components/responses/Problem503"},
}


def _door(name: str, summary: str, words: str, form: Shape, answer: Shape, *more: str, **refusals: Shape) -> Shape:
    """One door that takes a form of our client. Members that nobody knows are ignored (RFC 6749, section 3.2)."""
    asked = _object(
        {"client_id": _CLIENT, **form}, required=["client_id", *(each for each in form if each not in more)]
    )
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "description": words,
            "tags": ["oauth2"],
            "security": [],
            "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": asked}}},
            "responses": {
                "200": answer,
                **_REFUSALS,
                **{status.removeprefix("status_"): told for status, told in refusals.items()},
            },
        }
    }


PATHS: Final[dict[str, Shape]] = {
    "/oauth2/device_authorization": _door(
        "oauth2_device_authorization",
        "Let a machine ask to be signed in by a person in a browser (RFC 8628)",
        "The machine shows `user_code` and `verification_uri`, and asks for its token every `interval` seconds.",
        {
            "device_name": {
                "type": "string",
                "maxLength": LONGEST_NAME,
                "description": "What the person is shown: one line. Without it they are told that the machine gave no name.",
            }
        },
        _json("DeviceAuthorization", "What to show, and what to ask with"),
        "device_name",
        status_429=_json("OAuthError", "Too many machines wait", Retry_After="integer"),
    ),
    "/oauth2/token": _door(
        "oauth2_token",
        "Take the token of a machine that was allowed, once",
        "A code that is presented again is refused, and the token that it gave ends.",
        {"grant_type": {"type": "string", "const": DEVICE_GRANT}, "device_code": _TEXT},
        _json("DeviceAccessToken", "The token; it is not told again"),
    ),
    "/oauth2/revoke": _door(
        "oauth2_revoke",
        "End the session of a token (RFC 7009)",
        "A token that opens nothing is ended already.",
        {"token": _TEXT, "token_type_hint": {"type": "string"}},
        {"description": "It opens nothing"},
        "token_type_hint",
    ),
    METADATA: {
        "get": {
            "operationId": "oauth2_metadata",
            "summary": "Say where these doors are (RFC 8414)",
            "description": "`device_authorization_endpoint` is missing where the operator signs no devices in.",
            "tags": ["oauth2"],
            "security": [],
            "responses": {
                "200": _json("AuthorizationServer", "The doors"),
                "405": {"description": "Another method than GET or HEAD"},
                "503": {"$ref": "#/components/responses/Problem503"},
            },
        }
    },
}
