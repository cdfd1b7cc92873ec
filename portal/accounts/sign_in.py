"""Sign in with a password and then a second factor, and sign out."""

from __future__ import annotations

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.models import Passkey, Person, TotpDevice
from keys.people.facts import has_factor, may_still_enrol
from keys.people.proofs import Refusal
from keys.people.session_ends import SIGNED_OUT, end_session
from portal.accounts.doors import door, local_path, row_of, say, signed_in_door
from portal.accounts.forms import CodeForm, RecoveryCodeForm, SignInForm
from portal.accounts.steps import ENROLMENT, SECOND_FACTOR, SIGN_IN, begin, check_password, finish, prove, standing_at
from portal.accounts.words import explain_refusal
from portal.actors import find_actor, newcomer


@door("GET", "POST")
def sign_in(http: HttpRequest) -> HttpResponse:
    """Ask for an address and a password; every kind of no looks the same."""
    wanted = local_path((http.POST if http.method == "POST" else http.GET).get("next", ""))
    if http.method != "POST":
        if find_actor(http):
            return HttpResponseRedirect(wanted)
        return _sign_in_page(http, SignInForm(), wanted)
    form = SignInForm(http.POST)
    if not form.is_valid() and not {"email", "password"} <= form.data.keys():
        return _sign_in_page(http, form, wanted, status=422)
    answer = check_password(http, form.data.get("email", "")[:1024], form.data.get("password", "")[:1024])
    if answer.locked:
        words = _("Too many tries. This address is closed from here for up to 30 minutes.")
        return _sign_in_page(http, _emptied(form), wanted, problem=words, status=429)
    if answer.person is None:
        words = _("Address and password do not fit together, or the account is not active.")
        return _sign_in_page(http, _emptied(form), wanted, problem=words, status=422)
    return _to_next_step(http, answer.person, wanted)


def _emptied(form: SignInForm) -> SignInForm:
    """Show the address again and never the password, whatever was wrong with either."""
    return SignInForm(initial={"email": form.data.get("email", "")[:254].replace("\x00", "")})


def _sign_in_page(
    http: HttpRequest, form: SignInForm, wanted: str, *, problem: str = "", status: int = 200
) -> HttpResponse:
    context = {"form": form, "next": "" if wanted == "/" else wanted, "problem": problem}
    return render(http, "accounts/sign_in.html", context, status=status)


def _to_next_step(http: HttpRequest, person: Person, wanted: str) -> HttpResponse:
    if has_factor(person.pk):
        begin(http, person, SECOND_FACTOR)
        return HttpResponseRedirect(_with_next(reverse("second_factor"), wanted))
    if may_still_enrol(person.pk, at=clock.now()):
        begin(http, person, ENROLMENT)
        return HttpResponseRedirect(reverse("set_up"))
    return render(http, "accounts/no_factor.html", {}, status=403)


def _with_next(path: str, wanted: str) -> str:
    return path if wanted == "/" else f"{path}?{urlencode({'next': wanted})}"


@door("GET", "POST")
def second_factor(http: HttpRequest) -> HttpResponse:
    """Ask for the second factor of whoever just gave their password: passkey first, then code, then recovery code."""
    person = standing_at(http, SECOND_FACTOR)
    if person is None:
        return HttpResponseRedirect(reverse("sign_in"))
    wanted = local_path((http.POST if http.method == "POST" else http.GET).get("next", ""))
    if http.method != "POST":
        return _second_factor_page(http, person, wanted)
    actor = newcomer(http, person)
    outcome = prove(person, actor=actor, http=http, purpose=SIGN_IN, with_recovery=True)
    if isinstance(outcome, Refusal):
        status = 429 if outcome.code == "locked" else 422
        return _second_factor_page(http, person, wanted, problem=explain_refusal(outcome), status=status)
    if outcome.method == "recovery":
        # Whoever lost their factors may now replace them; nothing else is opened by a code from a drawer.
        finish(http, person, actor=actor, proof=outcome, steps=("factors",))
        say(http, _("You used a recovery code. Enrol a new factor now and remove the one you lost."))
        return HttpResponseRedirect(reverse("factors"))
    finish(http, person, actor=actor, proof=outcome)
    return HttpResponseRedirect(wanted)


def _second_factor_page(
    http: HttpRequest, person: Person, wanted: str, *, problem: str = "", status: int = 200
) -> HttpResponse:
    context = {
        "person": person,
        "has_passkey": Passkey.objects.usable().filter(user=person).exists(),
        "has_totp": TotpDevice.objects.usable().filter(user=person).exists(),
        "code_form": CodeForm(),
        "recovery_form": RecoveryCodeForm(),
        "next": "" if wanted == "/" else wanted,
        "problem": problem,
        "show_recovery": bool(http.POST.get("recovery_code")),
    }
    return render(http, "accounts/second_factor.html", context, status=status)


@signed_in_door("POST")
def sign_out(http: HttpRequest, actor: Actor) -> HttpResponse:
    """End this session."""
    row = row_of(http)
    if row is not None:
        end_session(row, actor=actor, reason=SIGNED_OUT)
    logout(http)
    return HttpResponseRedirect(reverse("sign_in"))
