"""Answer POST /v1/verify-signature: whether the request that a service received is signed by a key of its own, and for the first time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from keys.nonces.members import NonceStoreUnavailable
from keys.signatures.reading import HEADERS, Header, SignedRequest, is_content_digest
from keys.verification.memory.snapshot import Entry
from keys.verification.signed import SignedVerdict
from keys.verification.verifier import Question
from portal.verify.problems import LATER, RESPOND, Reply, reply
from portal.verify.questions import ANSWER, Source, ask, instants
from portal.verify.reading import Body, Refused, is_method, question_in, read_strictly, scanned

PATH: Final = "/v1/verify-signature"
MOST_LINES: Final = 10
LONGEST_LINE: Final = 4096
_MEMBERS: Final = {"method", "scheme", "authority", "path", "query", "headers", "body_digest", "scopes", "client"}
LONGEST: Final = {"authority": 300, "path": 16 * 1024, "query": 16 * 1024}
_TEXTS_AND_HEADERS: Final = _MEMBERS - {"scopes", "client"}
_TEXT: Final = {str}
_HEADERS: Final = frozenset(HEADERS)
_SCHEMES: Final = ("https", "http")
_NOTHING_MORE: Final = Question()


def verify_signature(source: Source, environ: Mapping[str, Any], body: Body) -> Reply:
    """Answer, or leave that to who asks about the nonces of many at once."""
    asker = ask(source, environ)
    request, question = read_signed_question(body.read(), environ.get("CONTENT_TYPE", ""))
    source.resume(asker)
    gathering, respond = source.gathering, environ.get(RESPOND)
    judged: tuple[SignedVerdict, Entry | None] | None
    try:
        if gathering is None or respond is None:
            judged = source.judge_signed(request, question, asker)
        else:
            judged = gathering.judge(request, question, asker, respond)
    except NonceStoreUnavailable as unavailable:
        raise Refused(503, unavailable.code, retry_after=unavailable.retry_after) from None
    return LATER if judged is None else told(*judged, asker.at)


def told(verdict: SignedVerdict, entry: Entry | None, at: float) -> Reply:
    """Write a verdict in the same words as about a presented key; for what is refused also with the time here, to set clocks by."""
    if verdict.reason is not None or entry is None:
        said: dict[str, Any] = {"valid": False, "reason": str(verdict.reason)}
        if verdict.fault is not None:
            said["fault"] = str(verdict.fault)
        return reply(200, said | {"server_time": int(at)})
    grant = entry.grant
    facts = b'%s,%s,"kind":"%s","verified_at":"%s"' % (
        entry.told,
        grant.told,
        grant.kind.encode(),
        instants.told(at),
    )
    return Reply(status=200, body=b'{"valid":true,%s}' % facts, headers=ANSWER)


def read_signed_question(body: bytes, content_type: str) -> tuple[SignedRequest, Question]:
    """Read what a service received, in its own words; raises Refused with 400, 413, 415 or 422."""
    plain = _plain(body) if content_type == "application/json" else None
    return (plain, _NOTHING_MORE) if plain is not None else _carefully(body, content_type)


def _plain(body: bytes) -> SignedRequest | None:  # noqa: PLR0911 - one condition a line
    """Read a body of known members that are all texts, in which only quotation marks are escaped; None for every other."""
    escaped = body.count(b'\\"')
    if body.count(b"\\") != escaped or len(body) > LONGEST_LINE:
        return None
    value = scanned(body)
    if value is None or not value.keys() <= _TEXTS_AND_HEADERS:
        return None
    headers = value.pop("headers", None)
    if type(headers) is not dict or not headers.keys() <= _HEADERS:
        return None
    if not {*map(type, value.values()), *map(type, headers.values())} <= _TEXT:
        return None
    # Every other quotation mark borders a text; a name that came twice would show by two too many.
    if body.count(b'"') - escaped != 4 * (len(value) + len(headers)) + 2:
        return None
    get = value.get
    method, authority, path, digest = get("method", ""), get("authority"), get("path"), get("body_digest")
    if not (authority and path and len(authority) <= LONGEST["authority"] and is_method(method)):
        return None
    if get("scheme", "https") not in _SCHEMES or not (digest is None or is_content_digest(digest)):
        return None
    return SignedRequest(method, authority, path, get("query", ""), headers, digest, get("scheme", "https"))


def _carefully(body: bytes, content_type: str) -> tuple[SignedRequest, Question]:
    value = read_strictly(body, content_type)
    if not isinstance(value, dict):
        raise Refused(422, "invalid_input", {"": "not_an_object"})
    errors = dict.fromkeys(value.keys() - _MEMBERS, "unknown_field")
    question = question_in(value, errors)
    if not question.method and "method" not in errors:
        errors["method"] = "required"
    scheme = value.get("scheme", "https")
    if scheme not in _SCHEMES:
        errors["scheme"] = "not_a_scheme"
    request = SignedRequest(
        method=question.method,
        authority=_text(value, "authority", errors, required=True),
        path=_text(value, "path", errors, required=True),
        query=_text(value, "query", errors),
        headers=_headers(value.get("headers"), errors),
        body_digest=_digest(value.get("body_digest"), errors),
        scheme=str(scheme),
    )
    if errors:
        raise Refused(422, "invalid_input", errors)
    return request, question


def _text(value: Mapping[str, Any], name: str, errors: dict[str, str], *, required: bool = False) -> str:
    text = value.get(name, "")
    if not isinstance(text, str):
        errors[name] = "not_text"
        return ""
    if len(text) > LONGEST[name]:
        errors[name] = "too_long"
    elif required and not text:
        errors[name] = "required"
    return str(text)


def _headers(value: Any, errors: dict[str, str]) -> dict[str, Header]:  # Any: whatever JSON held
    if not isinstance(value, dict):
        errors["headers"] = "required" if value is None else "not_an_object"
        return {}
    errors.update({f"headers.{name}": "unknown_field" for name in value.keys() - set(HEADERS)})
    found: dict[str, Header] = {}
    for name in HEADERS:
        lines = value.get(name)
        if lines is None:
            continue
        each = lines if isinstance(lines, list) else [lines]
        if not all(isinstance(line, str) for line in each) or len(each) > MOST_LINES:
            errors[f"headers.{name}"] = "not_text"
        elif any(len(line) > LONGEST_LINE for line in each):
            errors[f"headers.{name}"] = "too_long"
        else:
            found[name] = lines
    return found


def _digest(value: Any, errors: dict[str, str]) -> str | None:  # Any: whatever JSON held
    if value is None:
        return None
    if not isinstance(value, str) or not is_content_digest(value):
        errors["body_digest"] = "not_a_digest"
        return None
    return value
