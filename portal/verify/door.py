"""Answer `POST /v1/verify`: who asks, about what, and the verdict. Knows no framework, so that any server can carry it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from django.db import DatabaseError

from keys.errors import Unavailable
from keys.verification.credentials import VERIFY_SCOPE, Credential, authenticate_credential
from keys.verification.lookup import Found
from keys.verification.verification import verify_key
from portal.verify.reading import LONGEST_BODY, Refused, read_question

_NEVER_STORED: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_REALM: Final = 'Bearer realm="keystead"'
_TITLES: Final = {
    "address_not_allowed_here": "Nothing may stand in the query string: keys in addresses end up in logs",
    "body_too_large": "The body is over 64 KiB",
    "insufficient_scope": "This credential may not verify keys",
    "invalid_input": "The body is not what this endpoint reads",
    "invalid_token": "A credential of the service keystead is needed",
    "log_interrupted": "The database was restored and is behind its log; no key is valid until it follows it",
    "malformed_json": "The body is not strict JSON: UTF-8, no repeated names, no NUL, whole numbers, ten levels at most",
    "method_not_allowed": "Only POST is answered",
    "unavailable": "The database cannot be asked right now; no key is valid until it can",
    "unsupported_media_type": "Send application/json, not encoded",
}
_log = structlog.get_logger("keystead.verification")


@dataclass(frozen=True, kw_only=True, repr=False)
class Knock:
    """One HTTP request as this door sees it. No repr: it holds secrets."""

    method: str
    query: str = ""
    content_type: str = ""
    content_encoding: str = ""
    authorization: str = ""
    address: str | None = None
    user_agent: str = ""
    body: bytes = b""
    request_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def answer(knock: Knock) -> Reply:
    """Answer one request; an error of the database is 503 and never "valid"."""
    try:
        return _verdict(knock, _caller(knock))
    except Refused as refused:
        return _problem(refused, knock)
    except Unavailable as refused:
        return _problem(Refused(refused.status, refused.code), knock)
    except DatabaseError as error:
        _log.error("verification unavailable", exc_info=error)
        return _problem(Refused(503, "unavailable"), knock)


def _caller(knock: Knock) -> Credential:
    if knock.method != "POST":
        raise Refused(405, "method_not_allowed")
    if knock.query:
        raise Refused(400, "address_not_allowed_here")
    scheme, _, token = knock.authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "invalid_token")
    caller = authenticate_credential(token.strip(), address=knock.address, user_agent=knock.user_agent)
    if caller is None:
        raise Refused(401, "invalid_token")
    if VERIFY_SCOPE not in caller.scopes or caller.asks_about is None:
        raise Refused(403, "insufficient_scope")
    return caller


def _verdict(knock: Knock, caller: Credential) -> Reply:
    if knock.content_encoding.lower() not in ("", "identity"):
        raise Refused(415, "unsupported_media_type")
    asked = read_question(knock.body, knock.content_type)
    assert caller.asks_about is not None
    verdict = verify_key(asked.key, binding=caller.asks_about, question=asked.question)
    if verdict.found is None:
        return _reply(200, {"valid": False, "reason": str(verdict.reason)})
    return _reply(200, {"valid": True, **_facts(verdict.found)})


def _facts(found: Found) -> dict[str, Any]:
    return {
        "kid": found.fields.kid,
        "key": f"KEY-{found.number}",
        "name": found.name,
        "service": found.service,
        "environment": found.fields.environment,
        "scopes": list(found.fields.scopes),
        "owner_team": found.owner_team,
        "consumer": found.consumer,
        "expires_at": _time(found.ends_at),
        "verified_at": _time(found.at),
    }


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z" if at else None


def _reply(status: int, body: Mapping[str, Any], **headers: str) -> Reply:
    kind = "application/json" if status == 200 else "application/problem+json"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status=status, body=encoded, headers={"Content-Type": kind, **_NEVER_STORED, **named})


def _problem(refused: Refused, knock: Knock) -> Reply:
    """Write a problem (RFC 9457); nothing of what was sent comes back."""
    body: dict[str, Any] = {
        "type": f"urn:keystead:problem:{refused.code}",
        "title": _TITLES[refused.code],
        "status": refused.status,
        "code": refused.code,
        "request_id": knock.request_id or uuid.uuid4().hex,
    }
    if refused.errors:
        # Names come from the caller: only as many and as long as a person would read.
        body["errors"] = [{"field": name[:80], "code": code} for name, code in sorted(refused.errors.items())[:20]]
    headers = {}
    if refused.status == 401:
        headers["WWW_Authenticate"] = f'{_REALM}, error="invalid_token"' if knock.authorization else _REALM
    elif refused.status == 403:
        headers["WWW_Authenticate"] = f'{_REALM}, error="insufficient_scope", scope="{VERIFY_SCOPE}"'
    elif refused.status == 405:
        headers["Allow"] = "POST"
    elif refused.status == 503:
        headers["Retry_After"] = "1"
    return _reply(refused.status, body, **headers)


def readable(length: str) -> int:
    """How many bytes of a body to read: one more than the most, so that too much is noticed and never held."""
    return min(int(length), LONGEST_BODY + 1) if length.isascii() and length.isdigit() and len(length) < 20 else 0
