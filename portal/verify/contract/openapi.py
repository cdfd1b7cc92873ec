"""Describe the doors of the data plane in OpenAPI 3.1, out of the constants they read by; a test holds it against the doors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from portal.verify.contract.examples import EXAMPLES, problem_examples
from portal.verify.contract.shapes import SHAPES, Shape, ref
from portal.verify.problems import Reply

PATH: Final = "/v1/openapi.json"
_REFUSALS: Final = {
    400: "Not strict JSON or no form, a header that came twice, or anything in the query string",
    401: "No credential of a service",
    403: "A credential that may not verify, or not by its secret alone",
    405: "Another method",
    413: "More than 64 KiB",
    415: "Another content type, or an encoded body",
    422: "A member that is unknown or not what it should be; `errors` names each",
    503: "Memory is too old to know, or the database cannot be asked: treat the key as not valid",
}
_CODES: Final = {
    400: ("malformed_json", "header_repeated", "address_not_allowed_here"),
    401: ("invalid_token",),
    403: ("insufficient_scope",),
    405: ("method_not_allowed",),
    413: ("body_too_large",),
    415: ("unsupported_media_type",),
    422: ("invalid_input",),
    503: ("verifier_stale", "log_interrupted", "unavailable"),
}
_NO_JSON: Final = {400: ("invalid_input", "header_repeated", "address_not_allowed_here")}
_OF_NONCES: Final = {503: (*_CODES[503], "nonce_store_full", "nonce_store_young", "nonce_store_unavailable")}
_OF_GATEWAYS: Final = {503: (*_CODES[503], "invalid_caller")}
_FORM: Final[Shape] = {
    "type": "object",
    "properties": {"token": {"type": "string", "minLength": 1}, "token_type_hint": {"type": "string"}},
    "required": ["token"],
    "additionalProperties": False,
}
_ADDRESS: Final[Shape] = {
    "name": "Keystead-Client-Address",
    "in": "header",
    "schema": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}, {"const": ""}]},
    "description": "The client's, as the one who asks saw it; empty like missing: not known.",
}


def _refusals(*statuses: int, codes: Mapping[int, tuple[str, ...]] = MappingProxyType({})) -> Shape:
    """The refusals of an endpoint, each code with an example; `codes`: where it has others than most."""
    return {str(status): _refusal(status, codes.get(status, _CODES[status])) for status in statuses}


def _refusal(status: int, codes: tuple[str, ...]) -> Shape:
    content = {"schema": ref("Problem"), "examples": problem_examples(status, codes)}
    refusal: Shape = {"description": _REFUSALS[status], "content": {"application/problem+json": content}}
    if status == 503:
        refusal["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return refusal


def _json(name: str) -> Shape:
    examples = {each: {"value": value} for each, value in EXAMPLES[name].items()}
    return {"application/json": {"schema": ref(name), "examples": examples}}


def _reader(
    summary: str,
    asks: str,
    told: str,
    *,
    words: str = "The answer is 200 either way; take every reason that you do not know for a refusal.",
    codes: Mapping[int, tuple[str, ...]] = MappingProxyType({}),
) -> Shape:
    """An endpoint that reads JSON and answers 200 with JSON."""
    return {
        "summary": summary,
        "description": words,
        "security": [{"service": []}],
        "requestBody": {"required": True, "content": _json(asks)},
        "responses": {"200": _answer(told), **_refusals(*_REFUSALS, codes=codes)},
    }


def _answer(told: str) -> Shape:
    return {"description": "The answer", "content": _json(told)}


def _introspection() -> Shape:
    form = {"application/x-www-form-urlencoded": {"schema": _FORM}}
    return {
        "summary": "What a token means (RFC 7662)",
        "security": [{"service": []}, {"password": []}],
        "parameters": [_ADDRESS],
        "requestBody": {"required": True, "content": form},
        # RFC 7662 has no 422.
        "responses": {
            "200": _answer("Introspection"),
            **_refusals(*(each for each in _REFUSALS if each != 422), codes=_NO_JSON),
        },
    }


def _gateway(method: str) -> Shape:
    key = {"name": "X-API-Key", "in": "header", "schema": {"type": "string"}}
    scopes = {"name": "Keystead-Scopes", "in": "header", "schema": {"type": "string"}}
    # Without a body: gateways pass nothing on but the status and headers.
    denied = {"description": "Not to be let in; `Keystead-Reason` says why"}
    return {
        "operationId": f"forward_auth_{method}",
        "summary": "Whether a request may pass: a status, and who it is in headers",
        "security": [{"gateway": []}, {"gateway": [], "service": []}],
        "parameters": [
            {**key, "description": "The client's key, unless it comes as Bearer."},
            {**scopes, "description": "What this request needs, divided by spaces; left out where it needs nothing."},
            _ADDRESS,
        ],
        "responses": {
            "200": {"description": "Let it in"},
            "401": denied,
            "403": denied,
            **_refusals(400, 405, 503, codes=_NO_JSON | _OF_GATEWAYS),
        },
    }


DOCUMENT: Final[Shape] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Keystead's data plane",
        "version": "1",
        "description": "Whether a key that was presented to a service is valid. Whoever asks does so with a credential that names one"
        " service and one environment. Whatever is no plain yes is a no.",
    },
    "paths": {
        "/v1/verify": {"post": _reader("Whether a key is valid, here, for this", "Question", "Verdict")},
        "/v1/verify:batch": {"post": _reader("The same of up to a hundred keys", "Batch", "Verdicts")},
        "/v1/verify-signature": {
            "post": _reader(
                "Whether a request is signed, for the first time",
                "SignedQuestion",
                "SignedVerdict",
                words="Pass on what came, as it came (docs/signed-requests.md). The answer is 200 either way. 503 with a code"
                " `nonce_store_...` is no verdict: refuse, and let the client sign anew after `Retry-After` seconds.",
                codes=_OF_NONCES,
            )
        },
        "/oauth2/introspect": {"post": _introspection()},
        "/v1/forward-auth": {method: _gateway(method) for method in ("get", "head", "post")},
    },
    "components": {
        "schemas": SHAPES,
        "securitySchemes": {
            "service": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of the service `keystead` with the scope `keys:verify`.",
            },
            "password": {
                "type": "http",
                "scheme": "basic",
                "description": "The same as the password (RFC 6749, 2.3.1).",
            },
            "gateway": {
                "type": "apiKey",
                "in": "header",
                "name": "Keystead-Credential",
                "description": "The same, of a gateway: Authorization is its client's.",
            },
        },
    },
}
_WRITTEN: Final = json.dumps(DOCUMENT, ensure_ascii=False, separators=(",", ":")).encode()


def reply() -> Reply:
    """Answer GET /v1/openapi.json, to anybody."""
    return Reply(status=200, body=_WRITTEN, headers={"Content-Type": "application/json"})
