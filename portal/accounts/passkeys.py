"""Give browsers the options of passkey ceremonies; every challenge is single use and rests in the session's row.

They are asked for by POST: a challenge is state, and a page that is only read changes none.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse

from audit.actor import Actor
from keys.models import Person, Session
from keys.people import session_table, webauthn
from portal.accounts.doors import door, person_of, row_of, signed_in_door
from portal.accounts.step_up import act_of
from portal.accounts.steps import ENROLMENT, SECOND_FACTOR, SIGN_IN, standing_at
from portal.actors import find_actor

ENROL = "enrol"


def assertion_options(person: Person, challenge: bytes) -> dict[str, Any]:
    """Return the options with which a person's passkey signs a challenge of another room (Any: JSON)."""
    return webauthn.assertion_options(person, challenge)


def options_answer(options: dict[str, Any], **form_fields: str) -> JsonResponse:
    """Answer passkeys.js: what to ask the browser, and what to write into fields of the form that asked (Any: JSON)."""
    return JsonResponse({"publicKey": options, "fields": form_fields})


def _nobody() -> HttpResponse:
    return JsonResponse({"code": "sign_in_required"}, status=403)


@door("POST")
def sign_in_options(http: HttpRequest) -> HttpResponse:
    """Offer the passkeys of whoever just gave their password in this browser."""
    person, row = standing_at(http, SECOND_FACTOR), row_of(http)
    if person is None or row is None:
        return _nobody()
    return options_answer(webauthn.assertion_options(person, session_table.put_challenge(row, SIGN_IN)))


@signed_in_door("POST")
def step_up_options(http: HttpRequest, actor: Actor, purpose: str) -> HttpResponse:
    """Offer the passkeys of a signed-in person, for one purpose."""
    row = row_of(http)
    if act_of(purpose) is None:
        raise Http404
    if row is None:
        return _nobody()
    return options_answer(webauthn.assertion_options(person_of(http), session_table.put_challenge(row, purpose)))


@door("POST")
def enrol_options(http: HttpRequest) -> HttpResponse:
    """Offer to make a new passkey, to somebody signed in or on the way from an invitation."""
    row = row_of(http)
    person = person_of(http) if find_actor(http) else standing_at(http, ENROLMENT)
    if person is None or row is None:
        return _nobody()
    return options_answer(webauthn.registration_options(person, session_table.put_challenge(row, ENROL)))


def enrol_challenge(row: Session | None) -> bytes:
    """Take the challenge of an enrolment; a spent or missing one fits no answer."""
    taken = session_table.take_challenge(row, ENROL) if row is not None else None
    return taken or b"\x00" * webauthn.CHALLENGE_LENGTH
