"""Describe what the data plane reads and answers, as JSON Schema (OpenAPI 3.1), out of the same constants that it reads by."""

from __future__ import annotations

from typing import Any, Final

from keys.signatures.profile import Algorithm, Fault
from keys.signatures.reading import HEADERS
from keys.verification.reasons import Reason
from portal.verify.problems import TITLES
from portal.verify.questions import MOST_KEYS
from portal.verify.reading import LONGEST_TEXT, MOST_SCOPES, SCOPE
from portal.verify.signed import LONGEST, LONGEST_LINE, MOST_LINES

Shape = dict[str, Any]  # Any: OpenAPI is nested JSON
_INSTANT: Final[Shape] = {"type": "string", "format": "date-time"}
_DIGEST: Final[Shape] = {"type": "string", "pattern": "^sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:$"}


def _text(**more: object) -> Shape:
    return {"type": "string", **more}


def _whole(properties: Shape, *, required: tuple[str, ...] = (), **more: object) -> Shape:
    """An object that takes no other member."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def ref(name: str) -> Shape:
    """Point at one of the shapes below."""
    return {"$ref": f"#/components/schemas/{name}"}


_ASKED: Final[Shape] = {
    "scopes": {
        "type": "array",
        "items": _text(pattern=f"^{SCOPE.pattern}$"),
        "maxItems": MOST_SCOPES,
        "description": "What this call needs, matched exactly.",
    },
    "client": ref("Client"),
}
_OF_KEY: Final[Shape] = {
    "valid": {"const": True},
    "kid": _text(),
    "key": _text(pattern="^KEY-[0-9]+$"),
    "name": _text(),
    "consumer": _text(),
    "expires_at": {**_INSTANT, "type": ["string", "null"]},
    "service": _text(),
    "environment": _text(),
    "scopes": {"type": "array", "items": _text()},
    "owner_team": _text(),
}
_LINES: Final[Shape] = {
    "oneOf": [
        _text(maxLength=LONGEST_LINE),
        {"type": "array", "items": _text(maxLength=LONGEST_LINE), "maxItems": MOST_LINES},
        {"type": "null"},
    ],
    "description": "The header as it came; a list where it came several times.",
}

SHAPES: Final[dict[str, Shape]] = {
    "Client": _whole(
        {
            "address": {
                "type": ["string", "null"],
                "description": "IPv4 or IPv6; without it, a key with allowed networks is refused.",
            },
            **{name: _text(maxLength=most) for name, most in LONGEST_TEXT.items()},
        },
        description="Who presented the key to the service that asks, as far as that service knows.",
    ),
    "Question": _whole(
        {
            "key": _text(minLength=1, description="The text that was presented."),
            "method": _text(pattern="^[A-Z]{0,20}$"),
            **_ASKED,
        },
        required=("key",),
    ),
    "Batch": _whole(
        {"keys": {"type": "array", "items": ref("Question"), "minItems": 1, "maxItems": MOST_KEYS}}, required=("keys",)
    ),
    "SignedQuestion": _whole(
        {
            "method": _text(pattern="^[A-Z]{1,20}$"),
            "scheme": {"enum": ["https", "http"], "default": "https"},
            "authority": _text(minLength=1, maxLength=LONGEST["authority"]),
            "path": _text(minLength=1, maxLength=LONGEST["path"], description="As it stood on the wire, not decoded."),
            "query": _text(maxLength=LONGEST["query"], description="Without its question mark."),
            "headers": _whole(dict.fromkeys(HEADERS, _LINES)),
            "body_digest": {
                **_DIGEST,
                "type": ["string", "null"],
                "description": "SHA-256 of the bytes that you received, computed by you; left out only if there were none.",
            },
            **_ASKED,
        },
        required=("method", "authority", "path", "headers"),
    ),
    "Valid": _whole({**_OF_KEY, "verified_at": _INSTANT}, required=(*_OF_KEY, "verified_at")),
    "Refused": _whole(
        {"valid": {"const": False}, "reason": {"enum": sorted(map(str, Reason))}}, required=("valid", "reason")
    ),
    "Verdict": {"oneOf": [ref("Valid"), ref("Refused")]},
    "Verdicts": _whole({"results": {"type": "array", "items": ref("Verdict")}}, required=("results",)),
    "ValidSignature": _whole(
        {**_OF_KEY, "kind": {"enum": sorted(map(str, Algorithm))}, "verified_at": _INSTANT},
        required=(*_OF_KEY, "kind", "verified_at"),
    ),
    "RefusedSignature": _whole(
        {
            "valid": {"const": False},
            "reason": {"enum": sorted(map(str, Reason))},
            "fault": {
                "enum": sorted(map(str, Fault)),
                "description": "Of `signature_malformed`: what has not the one form.",
            },
            "server_time": {"type": "integer", "description": "Unix time here, to set the client's clock by."},
        },
        required=("valid", "reason", "server_time"),
    ),
    "SignedVerdict": {"oneOf": [ref("ValidSignature"), ref("RefusedSignature")]},
    "Introspection": {
        "oneOf": [
            _whole({"active": {"const": False}}, required=("active",)),
            {
                "type": "object",
                "properties": {
                    "active": {"const": True},
                    "exp": {"type": "integer"},
                    **dict.fromkeys(
                        ("scope", "client_id", "sub", "username", "token_type", "aud", "iss", "jti"), _text()
                    ),
                },
                "required": ["active"],
            },
        ],
        "description": "RFC 7662.",
    },
    "Problem": {
        "type": "object",
        "description": "A problem (RFC 9457). `code` is stable; nothing of what was sent comes back.",
        "required": ["type", "title", "status", "code", "request_id"],
        "properties": {
            "type": _text(),
            "title": _text(),
            "status": {"type": "integer"},
            "code": {"enum": sorted(TITLES)},
            "request_id": _text(),
            "errors": {
                "type": "array",
                "items": _whole({"field": _text(), "code": _text()}, required=("field", "code")),
            },
        },
    },
}
