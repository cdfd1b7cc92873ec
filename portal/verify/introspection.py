"""Answer OAuth 2.0 token introspection (RFC 7662), so that what speaks it already needs no code for Keystead."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

from django.conf import settings

from keys.policy.addresses import read_address
from keys.verification.memory.loading import inside
from keys.verification.memory.snapshot import Entry
from keys.verification.verifier import Client, Question
from portal.verify.memory import Asker
from portal.verify.problems import Reply
from portal.verify.questions import ANSWER, Source
from portal.verify.reading import LONGEST_BODY, LONGEST_KEY, Body, Refused

_FORM: Final = re.compile(r'application/x-www-form-urlencoded(?:\s*;\s*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)
_PARAMETERS: Final = frozenset({"token", "token_type_hint"})
_TEXT: Final = rb'("[^"\\]*(?:\\.[^"\\]*)*")'  # of JSON, as it was written
_OWN: Final = re.compile(rb'"kid":%s,"key":%s,"name":%s,' % (_TEXT, _TEXT, _TEXT))
INACTIVE: Final = b'{"active":false}'


def introspect(source: Source, environ: Mapping[str, Any], body: Body) -> Reply:
    """Answer POST /oauth2/introspect: whether this token is active, and what it means."""
    if environ.get("HTTP_CONTENT_ENCODING", "").lower() not in ("", "identity"):
        raise Refused(415, "unsupported_media_type")
    asker = _asker(source, environ)
    token = _token(body.read(), environ.get("CONTENT_TYPE", ""))
    client = Client(address=address_in(environ.get("HTTP_KEYSTEAD_CLIENT_ADDRESS", "")))
    source.resume(asker)
    _, entry = source.judge(token, Question(client=client), asker)
    return Reply(status=200, body=INACTIVE if entry is None else meaning_of(entry), headers=ANSWER)


def address_in(header: str) -> str | None:
    """The client's address in a header that the service or gateway writes; Refused when it is none."""
    if not header:
        return None
    try:
        return str(read_address(header.strip()))
    except ValueError:
        raise Refused(400, "invalid_input", {"Keystead-Client-Address": "not_an_address"}) from None


def _asker(source: Source, environ: Mapping[str, Any]) -> Asker:
    """The caller by Bearer, or by Basic with its credential as the password (RFC 6749, section 2.3.1)."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return source.asker(authorization, environ)
    try:
        _, _, password = base64.b64decode(value.strip(), validate=True).decode("ascii").partition(":")
    except ValueError:  # no base64, or characters that no header of this kind has
        raise Refused(401, "invalid_token") from None
    return source.asker_with(password or "-", environ)


def _token(body: bytes, content_type: str) -> str:
    if not _FORM.fullmatch(content_type.strip()):
        raise Refused(415, "unsupported_media_type")
    if len(body) > LONGEST_BODY:
        raise Refused(413, "body_too_large")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=10)
    except ValueError:
        raise Refused(400, "invalid_input", {"": "not_a_form"}) from None
    names = [name for name, _ in pairs]
    errors = dict.fromkeys(set(names) - _PARAMETERS, "unknown_field")
    errors.update({name: "repeated" for name in set(names) if names.count(name) > 1})
    token = dict(pairs).get("token", "")
    if not token:
        errors["token"] = "required"  # noqa: S105 - the name of a parameter
    if errors:
        raise Refused(400, "invalid_input", errors)  # RFC 7662 has no 422
    return token[: LONGEST_KEY + 1]


def meaning_of(entry: Entry) -> bytes:
    """Write what an active token means, out of what memory has written already of its version and its grant."""
    own = _OWN.match(entry.told)
    assert own is not None
    kid, key, name = own.groups()
    scope, audience = _shared(entry.grant.told, settings.KEYSTEAD_PUBLIC_URL)
    ends = b"" if entry.ends is None else b',"exp":%d' % int(entry.ends)
    return b'{"active":true,%s,"client_id":%s,"sub":%s,"username":%s,%s,"jti":%s%s}' % (
        scope, key, key, name, audience, kid, ends,
    )  # fmt: skip


@lru_cache(maxsize=1_000)
def _shared(told: bytes, issuer: str) -> tuple[bytes, bytes]:
    """What follows from the words of a grant alone, so that it is never out of date: what it opens, and where."""
    grant = json.loads(b"{%s}" % told)
    return (
        inside({"scope": " ".join(grant["scopes"])}),
        inside({"token_type": "Bearer", "aud": grant["service"], "iss": issuer}),
    )
