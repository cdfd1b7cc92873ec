"""Answer what services ask in JSON: about one key, and about many at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from keys.signatures.reading import SignedRequest
from keys.verification.memory.snapshot import Entry
from keys.verification.reasons import Reason
from keys.verification.signed import SignedVerdict
from keys.verification.verifier import Question
from portal.verify.memory import Asker, Instants
from portal.verify.problems import NEVER_STORED, Reply
from portal.verify.reading import Body, Refused, member_of, read_question, read_strictly

if TYPE_CHECKING:
    from portal.verify.gathering import Gathering

MOST_KEYS: Final = 100
ANSWER: Final = {"Content-Type": "application/json", **NEVER_STORED}


class Source(Protocol):
    """Where verdicts come from: memory, or the database."""

    @property
    def gathering(self) -> Gathering | None: ...

    def asker(self, authorization: str, environ: Mapping[str, Any]) -> Asker: ...

    def asker_with(self, credential: str, environ: Mapping[str, Any]) -> Asker: ...

    def resume(self, asker: Asker) -> None: ...

    def judge(self, text: str, question: Question, asker: Asker) -> tuple[Reason | None, Entry | None]: ...

    def judge_signed(
        self, request: SignedRequest, question: Question, asker: Asker
    ) -> tuple[SignedVerdict, Entry | None]: ...


Endpoint = Callable[[Source, Mapping[str, Any], Body], Reply]
instants: Final = Instants()


def verify(source: Source, environ: Mapping[str, Any], body: Body) -> Reply:
    """Answer POST /v1/verify: whether this key is valid, here, for this."""
    asker = ask(source, environ)
    asked = read_question(body.read(), environ.get("CONTENT_TYPE", ""))
    source.resume(asker)
    return Reply(status=200, body=_told(source, asked.key, asked.question, asker), headers=ANSWER)


def verify_batch(source: Source, environ: Mapping[str, Any], body: Body) -> Reply:
    """Answer POST /v1/verify:batch: the same of up to a hundred keys; one that cannot be read refuses the whole batch."""
    asker = ask(source, environ)
    value = read_strictly(body.read(), environ.get("CONTENT_TYPE", ""))
    if not isinstance(value, dict):
        raise Refused(422, "invalid_input", {"": "not_an_object"})
    errors = dict.fromkeys(value.keys() - {"keys"}, "unknown_field")
    questions = value.get("keys")
    if not isinstance(questions, list) or not 1 <= len(questions) <= MOST_KEYS:
        errors["keys"] = "not_a_list_of_keys"
    if errors:
        raise Refused(422, "invalid_input", errors)
    assert isinstance(questions, list)
    asked = [member_of(each, f"keys.{place}.") for place, each in enumerate(questions)]
    source.resume(asker)
    results = b",".join(_told(source, each.key, each.question, asker) for each in asked)
    return Reply(status=200, body=b'{"results":[%s]}' % results, headers=ANSWER)


def ask(source: Source, environ: Mapping[str, Any]) -> Asker:
    """Recognise the caller of an endpoint that reads a body."""
    if environ.get("HTTP_CONTENT_ENCODING", "").lower() not in ("", "identity"):
        raise Refused(415, "unsupported_media_type")
    return source.asker(environ.get("HTTP_AUTHORIZATION", ""), environ)


def _told(source: Source, text: str, question: Question, asker: Asker) -> bytes:
    reason, entry = source.judge(text, question, asker)
    if entry is None:
        return b'{"valid":false,"reason":"%s"}' % str(reason).encode()
    at = instants.told(asker.at)
    return b'{"valid":true,%s,%s,"verified_at":"%s"}' % (entry.told, entry.grant.told, at)
