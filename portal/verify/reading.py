"""Read what a service asks, strictly: what cannot be understood in one way only is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from audit.canonical import CanonicalError, JsonValue, parse_strict
from keys.policy.addresses import read_address
from keys.verification.verifier import Client, Question
from portal.verify import patience

LONGEST_BODY: Final = 64 * 1024
LONGEST_KEY: Final = 512
MOST_SCOPES: Final = 100
_MEDIA_TYPE: Final = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)
_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)
SCOPE: Final = re.compile(r"[a-z][a-z0-9:._-]{0,79}", re.ASCII)
_MEMBERS: Final = {"key", "scopes", "method", "client"}
_CLIENT_MEMBERS: Final = {"address", "user_agent", "instance"}
LONGEST_TEXT: Final = {"user_agent": 2000, "instance": 100}
_KEPT_OF_USER_AGENT: Final = 200


class Body:
    """The body of one request, read when somebody asks for it: the one thread that answers waits for no stranger's bytes."""

    __slots__ = ("_content", "_environ")

    def __init__(self, environ: Mapping[str, Any], content: bytes | None = None) -> None:
        self._environ = environ
        self._content = content  # where somebody has read it already

    def read(self) -> bytes:
        """Return the bytes; only after the caller proved who it is."""
        if self._content is None:
            length = self._environ.get("CONTENT_LENGTH") or ""
            # Without a length the server ends the stream where the chunks end; one byte too many shows too much.
            chunks = LONGEST_BODY + 1 if "HTTP_TRANSFER_ENCODING" in self._environ else 0
            most = readable(length) if length else chunks
            self._content = patience.read(self._environ, most) if most else b""
        return self._content


class Refused(Exception):
    """The question cannot be answered as it stands; `errors` maps each member to a code."""

    def __init__(
        self, status: int, code: str, errors: Mapping[str, str] | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(code)
        self.retry_after = retry_after or 1
        self.status = status
        self.code = code
        self.errors = dict(errors or {})


@dataclass(frozen=True, kw_only=True, repr=False)
class Asked:
    """The presented text and the question about it. No repr: the text is a secret."""

    key: str
    question: Question


def readable(length: str) -> int:
    """How many bytes of a body to read: one more than the most, so that too much is noticed and never held."""
    return min(int(length), LONGEST_BODY + 1) if length.isascii() and length.isdigit() and len(length) < 20 else 0


def read_question(body: bytes, content_type: str) -> Asked:
    """Read the JSON of a verification; raises Refused with 400, 413, 415 or 422."""
    return member_of(read_strictly(body, content_type), "")


def read_strictly(body: bytes, content_type: str) -> JsonValue:
    """Read a body of JSON that every reader would read alike; raises Refused with 400, 413 or 415."""
    if not _MEDIA_TYPE.fullmatch(content_type.strip()):
        raise Refused(415, "unsupported_media_type")
    if len(body) > LONGEST_BODY:
        raise Refused(413, "body_too_large")
    try:
        return parse_strict(body)
    except CanonicalError:
        raise Refused(400, "malformed_json") from None


def _no_number(_text: str) -> NoReturn:
    raise ValueError


_scan: Final = json.JSONDecoder(parse_float=_no_number, parse_constant=_no_number).scan_once  # type: ignore[attr-defined]  # it is there, unannotated


def scanned(body: bytes) -> dict[str, Any] | None:
    """Read one JSON object without fractions, for the quick ways: they see for themselves that no member came twice. Else None."""
    try:
        text = body.decode()
        value, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError):
        return None
    return value if end == len(text) and type(value) is dict else None


def members_of(body: bytes, content_type: str, members: set[str]) -> dict[str, object]:
    """Read a body that may have these members and no others."""
    value = read_strictly(body, content_type)
    if not isinstance(value, dict):
        raise Refused(422, "invalid_input", {"": "not_an_object"})
    odd = dict.fromkeys(value.keys() - members, "unknown_field")
    if odd:
        raise Refused(422, "invalid_input", odd)
    return dict(value)


def member_of(value: JsonValue, prefix: str) -> Asked:
    """Read one question; `prefix` says where it stood, for the names of what is wrong."""
    if not isinstance(value, dict):
        raise Refused(422, "invalid_input", {prefix.rstrip("."): "not_an_object"})
    errors = dict.fromkeys(value.keys() - _MEMBERS, "unknown_field")
    key = value.get("key")
    if not isinstance(key, str) or not key:
        errors["key"] = "not_text" if "key" in value else "required"
        key = ""
    question = question_in(value, errors)
    if errors:
        raise Refused(422, "invalid_input", {prefix + name: code for name, code in errors.items()})
    return Asked(key=key[: LONGEST_KEY + 1], question=question)


def question_in(value: Mapping[str, JsonValue], errors: dict[str, str]) -> Question:
    """Read what a service wants to know of a key, whichever way that is presented; what is wrong goes into `errors`."""
    scopes = _scopes(value.get("scopes", []), errors)
    method = value.get("method", "")
    if not isinstance(method, str) or (method and not is_method(method)):
        errors["method"] = "not_a_method"
        method = ""
    return Question(scopes=scopes, method=method, client=read_client(value.get("client", {}), errors))


def is_method(text: str) -> bool:
    """Whether a text may be the method of a request."""
    return _METHOD.fullmatch(text) is not None


def _scopes(value: Any, errors: dict[str, str]) -> tuple[str, ...]:  # Any: whatever JSON held
    if not isinstance(value, list) or len(value) > MOST_SCOPES:
        errors["scopes"] = "not_a_list_of_scopes"
        return ()
    if not all(isinstance(each, str) and SCOPE.fullmatch(each) for each in value):
        errors["scopes"] = "not_a_list_of_scopes"
        return ()
    return tuple(value)


def read_client(value: Any, errors: dict[str, str]) -> Client:  # Any: whatever JSON held
    """Read who presented a key; what is wrong goes to `errors`."""
    if not isinstance(value, dict):
        errors["client"] = "not_an_object"
        return Client()
    errors.update({f"client.{name}": "unknown_field" for name in value.keys() - _CLIENT_MEMBERS})
    texts = {}
    for name, most in LONGEST_TEXT.items():
        text = value.get(name, "")
        if not isinstance(text, str) or len(text) > most:
            errors[f"client.{name}"] = "not_text" if not isinstance(text, str) else "too_long"
            text = ""
        texts[name] = text
    return Client(
        address=_address(value.get("address"), errors),
        user_agent=texts["user_agent"][:_KEPT_OF_USER_AGENT],
        instance=texts["instance"],
    )


def _address(value: Any, errors: dict[str, str]) -> str | None:  # Any: whatever JSON held
    try:
        return None if value is None else str(read_address(value if isinstance(value, str) else ""))
    except ValueError:
        errors["client.address"] = "not_an_address"
        return None
