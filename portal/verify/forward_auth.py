"""Answer gateways that ask by a sub-request (nginx auth_request and its like): a status, and who it is in headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from keys.verification.memory.snapshot import Entry
from keys.verification.reasons import Reason
from keys.verification.verifier import Client, Question
from portal.verify.introspection import address_in
from portal.verify.problems import NEVER_STORED, Reply
from portal.verify.questions import Source
from portal.verify.reading import LONGEST_KEY, MOST_SCOPES, SCOPE, Body, Refused

# A key that is good, but not for this, is 403, as both clients have it; everything else is 401. Gateways know no 429.
_FORBIDDEN: Final = frozenset(
    {
        Reason.NETWORK,
        Reason.SCOPE,
        Reason.WRONG_SERVICE,
        Reason.WRONG_ENVIRONMENT,
        Reason.RATE_LIMIT,
        Reason.QUOTA,
    }
)


def forward_auth(source: Source, environ: Mapping[str, Any], _body: Body) -> Reply:
    """Answer GET /v1/forward-auth: whether this request may pass. Nothing of what the client sent is believed but its key."""
    try:
        asker = source.asker_with(environ.get("HTTP_KEYSTEAD_CREDENTIAL", "") or "-", environ)
    except Refused as refused:
        # 401 and 403 would be passed on to the client, who can do nothing about the gateway's own credential.
        raise (Refused(503, "invalid_caller") if refused.status in (401, 403) else refused) from None
    key = _key_in(environ)
    question = Question(
        scopes=_scopes_in(environ.get("HTTP_KEYSTEAD_SCOPES")),
        client=Client(
            address=address_in(environ.get("HTTP_KEYSTEAD_CLIENT_ADDRESS", "")),
            user_agent=environ.get("HTTP_USER_AGENT", "")[:200],
        ),
    )
    if not key:
        return _denied("missing")
    reason, entry = source.judge(key[: LONGEST_KEY + 1], question, asker)
    return _denied(str(reason), forbidden=reason in _FORBIDDEN) if entry is None else _passed(entry)


def _key_in(environ: Mapping[str, Any]) -> str:
    """The client's key: a Bearer token or X-API-Key, one of them, once."""
    authorization, plain = environ.get("HTTP_AUTHORIZATION", ""), environ.get("HTTP_X_API_KEY", "")
    if (authorization and plain) or "," in plain or "," in authorization:
        raise Refused(400, "header_repeated")
    scheme, _, token = authorization.partition(" ")
    return str(plain or (token if scheme.lower() == "bearer" else "")).strip()


def _scopes_in(header: str | None) -> tuple[str, ...]:
    """Which scopes are needed. A header that is there and empty asks for nobody knows what: so granian shows other bytes than ASCII."""
    if header is None:
        return ()
    scopes = tuple(header.split())
    if not 1 <= len(scopes) <= MOST_SCOPES or not all(SCOPE.fullmatch(each) for each in scopes):
        raise Refused(400, "invalid_input", {"Keystead-Scopes": "not_a_list_of_scopes"})
    return scopes


def _denied(reason: str, *, forbidden: bool = False) -> Reply:
    headers = {**NEVER_STORED, "Keystead-Reason": reason}
    if forbidden:
        return Reply(status=403, body=b"", headers=headers)
    error = "" if reason == "missing" else ', error="invalid_token"'
    return Reply(status=401, body=b"", headers={**headers, "WWW-Authenticate": f'Bearer realm="api"{error}'})


def _passed(entry: Entry) -> Reply:
    own, shared = json.loads(b"{%s}" % entry.told), json.loads(b"{%s}" % entry.grant.told)
    headers = {
        "Keystead-Key": own["key"],
        "Keystead-Kid": own["kid"],
        # Names are what people typed; a header holds ASCII.
        "Keystead-Name": quote(own["name"], safe=" "),
        "Keystead-Consumer": quote(own["consumer"], safe=" "),
        "Keystead-Service": shared["service"],
        "Keystead-Environment": shared["environment"],
        "Keystead-Granted-Scopes": " ".join(shared["scopes"]),
        "Keystead-Owner-Team": shared["owner_team"],
    }
    return Reply(status=200, body=b"", headers={**NEVER_STORED, **headers})
