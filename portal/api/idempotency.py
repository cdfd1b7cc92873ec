"""Let a program send a POST again without doing it twice: the Idempotency-Key header."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Final

from rest_framework.request import Request
from rest_framework.response import Response

from audit.actor import Actor
from keys.errors import Conflict, Gone, Invalid, TooMany, Unavailable
from keys.operations import rehearsal
from portal.api.problems import BadRequest, KeyReused
from portal.models import IdempotencyRecord

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
_NOT_THEIRS: Final = frozenset({"not_in_owner_team", "not_your_service"})
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)


def refuse_key(request: Request) -> None:
    """Say that this operation offers no replay: its answer is a secret, and those are never kept."""
    if HEADER in request.headers:
        raise BadRequest("idempotency_not_offered", field=HEADER)


def once(request: Request, *, actor: Actor, act: Callable[[], Response]) -> Response:
    """Run `act` once for each key: the same request again gets the first answer, another one under that key is refused.

    Who may not do it any more is refused like anew. Only answers of success are kept. A refusal changed nothing, so the key is
    free again. When a process dies in between, its key stays taken until it expires: nobody knows whether the act happened,
    and the caller has to look.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return act()
    if not _KEY.fullmatch(key):
        raise BadRequest("invalid_header", field=HEADER)
    key_hash = hashlib.sha256(key.encode()).hexdigest()
    digest = _digest(request)
    records = IdempotencyRecord.objects.visible_to(actor)
    record = records.reserve(actor=actor, key_hash=key_hash, request_digest=digest)
    if record is None:
        return _again(records.filter(key_hash=key_hash).first(), digest, act)
    answer: Response | None = None
    try:
        answer = act()
    finally:
        if answer is None or answer.status_code >= 300:
            record.release()
    record.remember(answer.status_code, json.dumps(answer.data, default=str, ensure_ascii=False))
    return answer


def _digest(request: Request) -> str:
    body = request._request.body  # noqa: SLF001 - DRF's documented name of Django's request
    parts = (request.method or "", request.path, hashlib.sha256(body).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _again(record: IdempotencyRecord | None, digest: str, act: Callable[[], Response]) -> Response:
    if record is None or (record.status is None and record.request_digest == digest):
        raise Conflict("idempotency_in_progress")
    if record.request_digest != digest:
        raise KeyReused("idempotency_key_reused")
    _refuse_out_of_reach(act)
    return Response(json.loads(record.body), status=record.status, headers={REPLAYED: "true"})


def _refuse_out_of_reach(act: Callable[[], Response]) -> None:
    """Refuse, as a new request would be, whoever may not see or do this any more: the answer of before is not theirs now."""
    try:
        with rehearsal():
            act()
    except Invalid as invalid:
        if any(code.startswith("unknown_") or code in _NOT_THEIRS for code, _ in invalid.fields.values()):
            raise  # what is named there does not exist for them any more, or is not theirs
    except (Conflict, Gone, TooMany, Unavailable):
        return  # they may; what the first request did stands in the way, or nothing is granted just now
