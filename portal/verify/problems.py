"""Write the answers of the data plane: verdicts, and problems (RFC 9457) in which nothing of what was sent comes back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from keys.catalogue.own_service import VERIFY_SCOPE
from portal.verify.reading import Refused

NEVER_STORED: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_REALM: Final = 'Bearer realm="keystead"'
TITLES: Final = {
    "address_not_allowed_here": "Nothing may stand in the query string: keys in addresses end up in logs",
    "body_too_large": "The body is over 64 KiB",
    "header_repeated": "A header that says who asks, or for whom, came twice",
    "insufficient_scope": "This credential may not verify keys",
    "invalid_caller": "The gateway's own credential does not let it ask",
    "invalid_input": "The body is not what this endpoint reads",
    "invalid_token": "A credential of the service keystead is needed",
    "log_interrupted": "The database was restored and is behind its log; no key is valid until it follows it",
    "malformed_json": "The body is not strict JSON: UTF-8, no repeated names, no NUL, whole numbers, ten levels at most",
    "method_not_allowed": "This method is not answered here",
    "nonce_store_full": "So many signatures are remembered that no more fit; none is valid until some are forgotten in their time",
    "nonce_store_unavailable": "Whether a signature was used before cannot be known right now; none is valid until it can",
    "nonce_store_young": "What signatures were used is not known far enough back; sign anew after a moment",
    "not_found": "There is nothing here",
    "not_kept_in_memory": "In this environment the database is asked each time: ask /v1/verify",
    "resync": "Load a snapshot again: what changed since yours is not known any more",
    "too_many_listeners": "As many programs listen here as can; go on asking each second",
    "too_many_verifiers": "More verifiers were registered by this credential than one may have; end those that are not used",
    "unavailable": "The database cannot be asked right now; no key is valid until it can",
    "unsupported_media_type": "Send Content-Type: application/json (a form: /oauth2/introspect), and the body uncompressed",
    "verifier_stale": "This verifier has not heard of the database for too long; no key is valid until it has",
}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]


# Of an environment of WSGI: how whoever answers later tells the server (status, headers, body).
RESPOND: Final = "keystead.respond"
LATER: Final = Reply(status=0, body=b"", headers={})


def reply(status: int, body: Mapping[str, Any], **headers: str) -> Reply:
    """Write a JSON answer; of header names the hyphens are underscores."""
    kind = "application/json" if status < 400 else "application/problem+json"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status=status, body=encoded, headers={"Content-Type": kind, **NEVER_STORED, **named})


def problem(refused: Refused, *, request_id: str, knows_how: bool = False, allow: str = "POST") -> Reply:
    """Write a problem; `knows_how`: whether a credential was shown at all."""
    body: dict[str, Any] = {
        "type": f"urn:keystead:problem:{refused.code}",
        "title": TITLES[refused.code],
        "status": refused.status,
        "code": refused.code,
        "request_id": request_id or uuid.uuid4().hex,
    }
    if refused.errors:
        # Names come from the caller: only as many and as long as a person would read.
        body["errors"] = [{"field": name[:80], "code": code} for name, code in sorted(refused.errors.items())[:20]]
    headers = {}
    if refused.status == 401:
        headers["WWW_Authenticate"] = f'{_REALM}, error="invalid_token"' if knows_how else _REALM
    elif refused.status == 403:
        headers["WWW_Authenticate"] = f'{_REALM}, error="insufficient_scope", scope="{VERIFY_SCOPE}"'
    elif refused.status == 405:
        headers["Allow"] = allow
    elif refused.status in (429, 503):
        headers["Retry_After"] = str(refused.retry_after)
    return reply(refused.status, body, **headers)
