"""Carry a person from a password to a session: prove, count, record, and give the session a new key."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth import authenticate, login
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest, QueryDict

from audit import clock
from audit.actor import Actor
from audit.log import record
from keys import text
from keys.errors import Conflict, Denied, Invalid
from keys.models import Person
from keys.operations import locked, operation
from keys.people import session_table
from keys.people.failed_sign_ins import counted_as
from keys.people.passwords import LONGEST_PASSWORD, canonical_password
from keys.people.proofs import Proof, Refusal, prove_passkey, prove_recovery_code, prove_totp
from keys.people.session_ends import session_name
from portal import client_address
from portal.accounts.doors import row_of, store_of, tell
from portal.actors import NOBODY, user_agent_of, visitor
from portal.events import SecondFactorLocked, SecondFactorRefused, SignedIn, SignInLocked, SignInRefused

BACKEND = "django.contrib.auth.backends.ModelBackend"
SECOND_FACTOR = "second-factor"
ENROLMENT = "enrolment"
SIGN_IN = "sign-in"


@dataclass(frozen=True, kw_only=True)
class PasswordAnswer:
    """Whose password it was, if it was right; `locked` when the door is closed for this address from this place."""

    person: Person | None = None
    locked: bool = False


def check_password(http: HttpRequest, email: str, password: str) -> PasswordAnswer:
    """Check a password. Unknown, inactive and wrong look alike and take the same time: one slow hash each."""
    typed = canonical_password(password)
    typed = typed if len(typed) <= LONGEST_PASSWORD else ""
    try:
        address = text.canonical_email(email)
    except Invalid:
        # Nobody's address: counted for nobody, or typing nonsense would close one shared door for everybody.
        make_password(typed)
        tell(SignInRefused(target_id=NOBODY, reason="unknown-person"), actor=visitor(http))
        return PasswordAnswer()
    counted = without_what_was_typed(http)
    if not AxesProxyHandler.is_allowed(counted, {"username": address}):
        return PasswordAnswer(locked=True)
    person = authenticate(counted, username=address, password=typed)
    if isinstance(person, Person):
        return PasswordAnswer(person=person)
    known = Person.objects.filter(email=address).first()
    target = str(known.pk) if known else NOBODY
    told = address if known else ""  # what a stranger typed may be a password or a key
    if getattr(counted, "axes_locked_out", False):
        tell(SignInLocked(target_id=target, email=told), actor=visitor(http))
        return PasswordAnswer(locked=True)
    reason = "unknown-person" if known is None else "wrong-password" if known.is_active else "deactivated"
    tell(SignInRefused(target_id=target, reason=reason, email=told), actor=visitor(http))
    return PasswordAnswer()


def without_what_was_typed(http: HttpRequest) -> HttpRequest:
    """Return the request as the counter of failures may see it: it would store every field, and people paste secrets."""
    counted = copy.copy(http)
    route = http.resolver_match.route if http.resolver_match else ""  # the path of an invitation holds its token
    counted.GET = counted.POST = QueryDict()
    counted.META = {"REMOTE_ADDR": http.META.get("REMOTE_ADDR", ""), "PATH_INFO": route} | {
        name: value for name, value in http.META.items() if name == "HTTP_X_FORWARDED_FOR"
    }
    return counted


def counted_name(_http: HttpRequest, credentials: Mapping[str, str] | None) -> str:
    """Return the name under which failures are counted: a keyed hash of the address, whichever field brings it.

    Without an address there is nobody to count for; sharing one name would let anybody close the door for everybody.
    """
    given = credentials or {}
    address = given.get("username") or given.get(Person.USERNAME_FIELD)
    if not address:
        raise ValueError("failures are counted for an address")
    return counted_as(address)


def begin(http: HttpRequest, person: Person, stage: str) -> None:
    """Open a fresh session that may only go to the next step; whatever session this browser had is gone."""
    http.session.flush()
    http.session.create()
    row = row_of(http)
    if row is None:
        raise Conflict("session_changed")
    session_table.set_pending(row, person, stage)


def standing_at(http: HttpRequest, stage: str) -> Person | None:
    """Return the person whose next step is `stage` in this browser, or None."""
    row = row_of(http)
    return session_table.pending_person(row, stage) if row is not None else None


def presented(http: HttpRequest) -> str:
    """Say which proof a form brought: passkey, recovery, totp, or nothing."""
    for field, method in (("assertion", "passkey"), ("recovery_code", "recovery"), ("code", "totp")):
        if http.POST.get(field, ""):
            return method
    return ""


@operation
def prove(
    person: Person, *, actor: Actor, http: HttpRequest, purpose: str, with_recovery: bool = False
) -> Proof | Refusal:
    """Check the proof in the form of `http`, and record a refusal in the same transaction as its count."""
    method = presented(http)
    if method == "passkey":
        row = row_of(http)
        challenge = session_table.take_challenge(row, purpose) if row is not None else None
        outcome = prove_passkey(
            person, actor=actor, answer=http.POST["assertion"], challenge=challenge, purpose=purpose
        )
    elif method == "recovery" and with_recovery:
        outcome = prove_recovery_code(person, actor=actor, code=http.POST["recovery_code"])
    elif method == "totp":
        outcome = prove_totp(person, actor=actor, code=http.POST["code"], purpose=purpose)
    else:
        return Refusal(code="missing")
    if isinstance(outcome, Refusal):
        _record_refusal(outcome, person=person, actor=actor, method=method, purpose=purpose)
    return outcome


def _record_refusal(refusal: Refusal, *, person: Person, actor: Actor, method: str, purpose: str) -> None:
    """Record the refusal, or the lock it led to; a door that is closed already is not news."""
    if refusal.is_new_lock:
        event = SecondFactorLocked(target_id=str(person.pk), method=method, purpose=purpose)
        record(event, actor=actor, at=clock.now())
    elif refusal.code != "locked":
        record(
            SecondFactorRefused(target_id=str(person.pk), reason=refusal.code, method=method, purpose=purpose),
            actor=actor,
            at=clock.now(),
        )


@operation
def _sign_in(person: Person, *, actor: Actor, http: HttpRequest, proof: Proof, steps: tuple[str, ...]) -> None:
    person = locked(person)
    at = clock.now()
    if not person.is_active:
        raise Denied("person_not_active", rule="sign-in.active")
    step_ups: list[dict[str, str]] = []
    for purpose in steps:
        step_ups = session_table.add_step_up(step_ups, purpose=purpose, method=proof.method, at=at)
    row = store_of(http).rotate(
        person=person,
        signed_in_at=at,
        methods=["password", proof.method],
        device=proof.device,
        assurance=proof.assurance,
        step_ups=step_ups,
        ip=client_address.of_request(http),
        user_agent=user_agent_of(http),
        pending_person=None,
        pending_stage="",
        pending_until=None,
        challenge="",
    )
    record(
        SignedIn(
            target_id=str(person.pk),
            method=proof.method,
            device=proof.device,
            assurance=proof.assurance,
            session=session_name(row),
        ),
        actor=actor,
        at=at,
    )


def finish(http: HttpRequest, person: Person, *, actor: Actor, proof: Proof, steps: tuple[str, ...] = ()) -> None:
    """Sign in: the session gets a new key and a person. `steps` are purposes that the proof counts for as step-up."""
    _sign_in(person, actor=actor, http=http, proof=proof, steps=steps)
    login(http, person, backend=BACKEND)
