"""Show people their factors, and let them add, remove and replace them."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import Invalid, KeysError
from keys.models import Passkey, RecoveryCode, TotpDevice
from keys.people.factors import confirm_totp, enrol_passkey, enrol_totp, remove_factor
from keys.people.facts import usable_factors
from keys.people.recovery_codes import make_recovery_codes
from keys.people.webauthn import read_registration
from portal.accounts.doors import person_of, row_of, say, signed_in_door
from portal.accounts.enrolment import totp_page, unconfirmed
from portal.accounts.forms import CodeForm, FactorNameForm
from portal.accounts.passkeys import enrol_challenge
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.accounts.words import explain, put_errors
from portal.actors import actor_of

PURPOSE = "factors"


@signed_in_door("GET")
def factors(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List the factors and recovery codes of a person."""
    return _page(http)


def _page(
    http: HttpRequest, *, problem: StepUpProblem | None = None, words: str = "", status: int = 200
) -> HttpResponse:
    actor, person = actor_of(http), person_of(http)
    context = {
        "passkeys": Passkey.objects.visible_to(actor).usable(),
        "apps": TotpDevice.objects.visible_to(actor).usable(),
        "can_remove": usable_factors(person.pk) > 1,
        "codes_left": RecoveryCode.objects.unused().filter(person=person).count(),
        "now": clock.now(),
        "step_up": fields(http, PURPOSE, problem=problem),
        "problem": words,
    }
    return render(http, "accounts/factors.html", context, status=problem.status if problem else status)


def _refused(http: HttpRequest, refused: KeysError) -> HttpResponse:
    if isinstance(refused, Invalid):
        code, params = next(iter(refused.fields.values()))
        return _page(http, words=explain(code, params), status=422)
    return _page(http, words=explain(refused.code, refused.params), status=refused.status)


@signed_in_door("GET", "POST")
def prove_presence(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Step up for changes of one's factors, from the factors page; then its buttons work for five minutes."""
    problem = confirm(http, PURPOSE) if http.method == "POST" else None
    return _page(http, problem=problem) if problem else HttpResponseRedirect(reverse("factors"))


@signed_in_door("POST")
def add_totp(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Make a seed for another authenticator app and show it once."""
    try:
        name = http.POST.get("name", "") or _("Authenticator app")
        device = enrol_totp(person_of(http), actor=actor, name=name)
    except KeysError as refused:
        return _refused(http, refused)
    return totp_page(http, device, CodeForm(), confirm_url=reverse("factor_totp_confirm"))


@signed_in_door("POST")
def confirm_added_totp(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Confirm another authenticator app by its first code."""
    device = unconfirmed(http, person_of(http))
    if device is None:
        return HttpResponseRedirect(reverse("factors"))
    form = CodeForm(http.POST)
    if form.is_valid():
        try:
            confirm_totp(device, actor=actor, code=form.cleaned_data["code"])
        except Invalid as refused:
            put_errors(form, refused)
        except KeysError as refused:
            return _refused(http, refused)
        else:
            say(http, _("The authenticator app is enrolled. It can approve in 24 hours."))
            return HttpResponseRedirect(reverse("factors"))
    return totp_page(http, device, form, confirm_url=reverse("factor_totp_confirm"))


@signed_in_door("POST")
def add_passkey(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Keep another passkey."""
    challenge = enrol_challenge(row_of(http))
    form = FactorNameForm({"name": http.POST.get("name", "") or _("Passkey")})
    try:
        if not form.is_valid():
            raise Invalid.field("name", "too_long", most=64)
        credential = read_registration(http.POST.get("credential", ""), challenge)
        enrol_passkey(person_of(http), actor=actor, name=form.cleaned_data["name"], credential=credential)
    except KeysError as refused:
        return _refused(http, refused)
    say(http, _("The passkey is enrolled. It can approve in 24 hours."))
    return HttpResponseRedirect(reverse("factors"))


@signed_in_door("POST")
def remove(http: HttpRequest, actor: Actor, kind: str, pk: UUID) -> HttpResponse:
    """Remove a factor; never the last one."""
    rows = TotpDevice.objects.visible_to(actor) if kind == "totp" else Passkey.objects.visible_to(actor)
    factor = rows.filter(pk=pk).first()
    if factor is None:
        raise Http404
    try:
        row = row_of(http)
        remove_factor(factor, actor=actor, session_id=row.pk if row is not None else None)
    except KeysError as refused:
        return _refused(http, refused)
    say(http, _("The factor is removed, and your other sessions are ended."))
    return HttpResponseRedirect(reverse("factors"))


@signed_in_door("POST")
def new_recovery_codes(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Make a new set of recovery codes and show it once."""
    try:
        codes = make_recovery_codes(person_of(http), actor=actor)
    except KeysError as refused:
        return _refused(http, refused)
    context = {"codes": [code.reveal() for code in codes], "steps": [], "next": reverse("factors")}
    return render(http, "accounts/recovery_codes.html", context)
