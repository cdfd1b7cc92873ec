"""Turn an HTTP request into the actor that operations and the log know; without a second factor there is none."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import cast
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from audit.actor import Actor, ActorKind, Auth, RequestFacts, StepUp
from audit.secret_scan import find_secret
from keys.models import Person, Session
from keys.people.session_ends import session_name
from keys.states import SessionKind
from portal import client_address
from portal.middleware import request_id_of

# Nobody known yet. It is a person's kind of id that no person has, so every rule that looks it up says no.
NOBODY = "00000000-0000-0000-0000-000000000000"
LONGEST_USER_AGENT = 200
LONGEST_CLAIM = 5 * LONGEST_USER_AGENT  # what is looked at, so that no secret is cut where nobody would know it
WITHHELD = "[withheld]"


class SignInRequired(Exception):
    """A page needs a person with a second factor; the browser is sent to sign in."""


def facts_of(http: HttpRequest) -> RequestFacts:
    """Return which request this is; address and browser go to the private part of events."""
    return RequestFacts(
        id=request_id_of(http),
        method=http.method or "",
        route=http.resolver_match.route if http.resolver_match else "",
        ip=client_address.of_request(http) or "",
        user_agent=user_agent_of(http),
    )


def user_agent_of(http: HttpRequest) -> str:
    """Return the browser's name for itself, without what could mislead a reader.

    One that looks like a secret is withheld here: the log would take no event with it, and so a stranger could guess unseen.
    """
    claimed = http.META.get("HTTP_USER_AGENT", "")[:LONGEST_CLAIM]
    whole = "".join(each for each in claimed if unicodedata.category(each)[0] != "C")
    kept = whole[:LONGEST_USER_AGENT]
    return WITHHELD if any(find_secret(text.encode()) for text in (whole, kept)) else kept


def visitor(http: HttpRequest) -> Actor:
    """Return the actor of somebody who has not said who they are."""
    return Actor(kind=ActorKind.PERSON, id=NOBODY, http=facts_of(http))


def newcomer(http: HttpRequest, person: Person) -> Actor:
    """Return the actor of somebody who proved a password or holds a link, and no second factor yet."""
    return Actor(kind=ActorKind.PERSON, id=str(person.pk), name=person.name, http=facts_of(http))


def session_of(http: HttpRequest) -> Session | None:
    """Return the living session of a person with both factors, or None."""
    session = getattr(http, "session", None)
    row = cast("Session | None", session.current()) if session is not None else None
    if row is None or row.person_id is None or row.signed_in_at is None:
        return None
    # Django's own check too: a changed password makes its stored hash worthless.
    return row if http.user.is_authenticated and http.user.pk == row.person_id else None


def find_actor(http: HttpRequest) -> Actor | None:
    """Return the person behind a session with MFA, or None; MFA is decided here and nowhere else."""
    row = session_of(http)
    if row is None or row.person is None or not row.person.is_active:
        return None
    return actor_from(row, row.person, facts=facts_of(http))


def actor_of(http: HttpRequest) -> Actor:
    """Return the person behind a session with MFA; SignInRequired otherwise."""
    actor = find_actor(http)
    if actor is None:
        raise SignInRequired
    return actor


def actor_from(row: Session, person: Person, *, facts: RequestFacts) -> Actor:
    """Build the actor of a signed-in session."""
    return Actor(
        kind=ActorKind.PERSON,
        id=str(person.pk),
        name=person.name,
        session=session_name(row),
        auth=Auth(
            mfa=True,
            methods=tuple(row.methods),
            device=row.device,
            at=row.signed_in_at,
            assurance=row.assurance,
            step_ups=_step_ups(row),
        ),
        http=facts,
    )


def _step_ups(row: Session) -> tuple[StepUp, ...]:
    """Presence is proved in a browser: a device has none, whatever its row says."""
    if row.kind != SessionKind.BROWSER:
        return ()
    return tuple(
        StepUp(purpose=step["purpose"], method=step["method"], at=datetime.fromisoformat(step["at"]))
        for step in row.step_ups
    )


class SignInRedirect:
    """Send a browser that must sign in to the door, and back afterwards (a middleware for browser doors)."""

    def __init__(self, get_response: object) -> None:
        self.get_response = get_response

    def __call__(self, http: HttpRequest) -> HttpResponse:
        return self.get_response(http)  # type: ignore[operator,no-any-return]  # the next middleware

    def process_exception(self, http: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer SignInRequired; everything else is for others."""
        return to_sign_in(http) if isinstance(error, SignInRequired) else None


def to_sign_in(http: HttpRequest, *, is_form: bool = False) -> HttpResponse:
    """Redirect to the sign-in page, and from there back: to what can be read (`is_form` where it can), or the page of the form."""
    wanted = http.get_full_path() if is_form or http.method in ("GET", "HEAD") else _sent_from(http)
    query = f"?{urlencode({'next': wanted})}" if wanted and wanted != "/" else ""
    answer = HttpResponseRedirect(reverse("sign_in") + query)
    answer["Cache-Control"] = "no-store"
    return answer


def _sent_from(http: HttpRequest) -> str:
    """The page of ours that holds the form that was sent; "" where the browser does not say it, or says another's."""
    try:
        page = urlsplit(http.headers.get("referer", ""))
    except ValueError:
        return ""
    is_ours = (page.scheme, page.netloc) == (http.scheme, http.get_host())
    return page._replace(scheme="", netloc="", fragment="").geturl() if is_ours else ""
