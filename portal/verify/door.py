"""Answer `POST /v1/verify`: who asks, about what, and the verdict. Knows no framework, so that any server can carry it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DatabaseError

from keys.catalogue.own_service import VERIFY_SCOPE
from keys.errors import Unavailable
from keys.verification.counting.sightings import note_use
from keys.verification.credentials import Credential, authenticate_credential
from keys.verification.lookup import Found
from keys.verification.memory.loading import told_time
from keys.verification.verification import verify_key
from keys.verification.verifier import scopes_unsigned
from portal.verify.problems import Reply, problem, reply
from portal.verify.reading import Refused, read_question

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
    return program_of(knock.authorization, address=knock.address, user_agent=knock.user_agent)


def _verdict(knock: Knock, caller: Credential) -> Reply:
    if knock.content_encoding.lower() not in ("", "identity"):
        raise Refused(415, "unsupported_media_type")
    asked = read_question(knock.body, knock.content_type)
    assert caller.asks_about is not None
    verdict = verify_key(asked.key, binding=caller.asks_about, question=asked.question)
    if verdict.found is None:
        return reply(200, {"valid": False, "reason": str(verdict.reason)})
    return reply(200, {"valid": True, **facts_of(verdict.found)})


def _problem(refused: Refused, knock: Knock) -> Reply:
    return problem(refused, request_id=knock.request_id, knows_how=bool(knock.authorization))


def facts_of(found: Found) -> dict[str, Any]:
    """What the answer about a valid key says."""
    return {
        "kid": found.fields.kid,
        "key": f"KEY-{found.number}",
        "name": found.name,
        "consumer": found.consumer,
        "expires_at": told_time(found.ends_at),
        "service": found.service,
        "environment": found.fields.environment,
        "scopes": list(scopes_unsigned(found)),
        "owner_team": found.owner_team,
        "verified_at": told_time(found.at),
    }


def program_of(
    authorization: str, *, address: str | None, user_agent: str, note: Callable[..., None] = note_use
) -> Credential:
    """The program that may verify keys and says so in an Authorization header; raises Refused for anybody else."""
    caller = authenticate_credential(bearer_of(authorization), address=address, user_agent=user_agent, note=note)
    if caller is None:
        raise Refused(401, "invalid_token")
    if VERIFY_SCOPE not in caller.scopes or caller.asks_about is None:
        raise Refused(403, "insufficient_scope")
    return caller


def bearer_of(authorization: str) -> str:
    """The credential in an Authorization header; one that came twice, or holds two, is nobody's."""
    scheme, _, token = authorization.partition(" ")
    if "," in token:
        raise Refused(400, "header_repeated")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(401, "invalid_token")
    return token.strip()
