"""Answer a client that holds a key: how its rotation stands, its next secret for its old one, and that it has it now."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final

import structlog
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from audit.actor import Actor, ActorKind, Auth
from audit.canonical import CanonicalError, parse_strict
from keys.errors import KeysError, NotFound
from keys.lifecycle.fetch_facts import Seen, see_rotation
from keys.lifecycle.fetching import activate_fetched, fetch_next
from keys.models import KeyVersion
from keys.states import RotationState
from keys.verification.holders import recognise_holder
from portal import client_address
from portal.actors import facts_of
from portal.rotation.pace import seconds_to_wait
from portal.rotation.problems import Refused, moment, problem_of_operation, problem_of_refusal

Answer = Callable[[HttpRequest, KeyVersion, Actor], HttpResponse]
MOST_LOOKS: Final = 120  # a minute and key
MOST_ACTS: Final = 12
_TOKEN: Final = re.compile(r"[\x21-\x7e]{16,200}", re.ASCII)
_JSON: Final = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)
_log = structlog.get_logger("keystead.rotation")


def _door(*methods: str, most: int) -> Callable[[Answer], Callable[[HttpRequest], HttpResponse]]:
    """Let in whoever shows the secret of a key, about that key alone; refuse in the language of programs."""

    def wrap(answer: Answer) -> Callable[[HttpRequest], HttpResponse]:
        @csrf_exempt  # the caller is a program, and its credential comes in the header
        @functools.wraps(answer)
        def view(http: HttpRequest) -> HttpResponse:
            try:
                if http.method not in methods:
                    raise Refused(405, "method_not_allowed", Allow=", ".join(methods))
                _read_nothing(http)
                version, actor = _caller(http)
                wait = seconds_to_wait(version.kid, kind=answer.__name__, most=most)
                if wait:
                    raise Refused(429, "too_many_requests", Retry_After=str(wait))
                return answer(http, version, actor)
            except Refused as refused:
                return problem_of_refusal(refused, http)
            except NotFound:
                return problem_of_refusal(Refused(401, "invalid_token"), http)
            except KeysError as error:
                return problem_of_operation(error, http)
            except DatabaseError as error:
                _log.error("rotation unavailable", exc_info=error)
                return problem_of_refusal(Refused(503, "unavailable", Retry_After="1"), http)

        return view

    return wrap


def _read_nothing(http: HttpRequest) -> None:
    """These requests say everything in their headers."""
    if http.META.get("QUERY_STRING"):
        raise Refused(400, "address_not_allowed_here")
    if not http.body:
        return
    if not _JSON.fullmatch(http.content_type or "") or http.META.get("HTTP_CONTENT_ENCODING"):
        raise Refused(415, "unsupported_media_type")
    try:
        value = parse_strict(http.body)
    except CanonicalError:
        raise Refused(400, "malformed_json") from None
    if value != {}:
        raise Refused(422, "unknown_field")


def _caller(http: HttpRequest) -> tuple[KeyVersion, Actor]:
    scheme, _, token = http.headers.get("Authorization", "").partition(" ")
    holder = recognise_holder(token.strip()) if scheme.lower() == "bearer" else None
    if holder is None:
        raise Refused(401, "invalid_token")
    actor = Actor(
        kind=ActorKind.PROGRAM,
        id=str(holder.key_id),
        name=holder.name,
        auth=Auth(methods=("managed-key",), device=holder.kid, assurance="managed-key"),
        http=facts_of(http),
    )
    rows = KeyVersion.objects.visible_to(actor).select_related("managed_key__service", "managed_key__environment")
    version = rows.filter(pk=holder.version_id).first()
    if version is None:
        raise NotFound
    return version, actor


@_door("GET", "HEAD", most=MOST_LOOKS)
def see(http: HttpRequest, version: KeyVersion, actor: Actor) -> HttpResponse:
    """Tell the holder of a secret how far its replacement is, and when to ask again."""
    seen = see_rotation(version, address=client_address.of_request(http), actor=actor)
    answer = JsonResponse(_shown(seen))
    answer["Retry-After"] = str(_shown(seen)["check_after"])
    return answer


def _shown(seen: Seen) -> dict[str, object]:
    version, rotation = seen.version, seen.rotation
    new = rotation.new_version if rotation is not None else None
    waits = rotation is not None and rotation.state == RotationState.HANDED_OVER
    return {
        "key": str(version.managed_key),
        "kid": version.kid,
        "sequence": version.sequence,
        "state": rotation.state if rotation is not None else "none",
        "ready": seen.ready,
        "self_fetch": not seen.why_not,
        "why_not": seen.why_not or None,
        "due_at": moment(rotation.due_at if rotation is not None else None),
        "next_sequence": new.sequence if new is not None else None,
        "next_kid": new.kid if new is not None else None,
        "activate_before": moment(new.claim_until if new is not None and waits else None),
        "expires_at": moment(version.expires_at),
        "retire_at": moment(version.retire_at),
        "is_current": seen.is_current,
        "check_after": int(seen.check_after.total_seconds()),
    }


@_door("POST", most=MOST_ACTS)
def fetch(http: HttpRequest, version: KeyVersion, actor: Actor) -> HttpResponse:
    """Hand over the next secret for the old one, once; the same Idempotency-Key again gets another and kills the first."""
    token = http.headers.get("Idempotency-Key", "")
    if not _TOKEN.fullmatch(token):
        raise Refused(400, "idempotency_key_needed")
    handed = fetch_next(version, token=token, address=client_address.of_request(http), actor=actor)
    return _unstored(
        {
            "secret": handed.secret.reveal(),
            "kid": handed.version.kid,
            "sequence": handed.version.sequence,
            "activate_before": moment(handed.version.claim_until),
            "overlap": handed.rotation.overlap,
            "hand_overs": handed.hand_overs,
        }
    )


@_door("POST", most=MOST_ACTS)
def activate(http: HttpRequest, version: KeyVersion, actor: Actor) -> HttpResponse:
    """Let the fetched secret verify, because it was presented here."""
    rotation = activate_fetched(version, address=client_address.of_request(http), actor=actor)
    version.refresh_from_db()
    old = rotation.old_version
    return _unstored(
        {
            "state": rotation.state,
            "key": str(version.managed_key),
            "kid": version.kid,
            "sequence": version.sequence,
            "expires_at": moment(version.expires_at),
            "old_retire_at": moment(old.retire_at if old is not None else None),
        }
    )


def _unstored(body: dict[str, object]) -> HttpResponse:
    answer = JsonResponse(body)
    answer["Cache-Control"] = "no-store"
    return answer
