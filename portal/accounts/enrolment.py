"""Take a place: open the invitation, choose a password, enrol a first factor, keep the recovery codes."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.errors import Invalid, KeysError, NotFound
from keys.models import Invitation, Person, TotpDevice
from keys.people.factors import confirm_totp, enrol_passkey, enrol_totp, seed_text
from keys.people.facts import may_still_enrol
from keys.people.invitations import accept_invitation, find_invitation
from keys.people.proofs import Proof
from keys.people.recovery_codes import make_recovery_codes
from keys.people.webauthn import read_registration
from keys.states import InvitationPurpose
from portal.accounts.doors import door, row_of
from portal.accounts.forms import CodeForm, FactorNameForm, NewPasswordForm, PresentPasswordForm
from portal.accounts.passkeys import enrol_challenge
from portal.accounts.qr import qr_of
from portal.accounts.steps import ENROLMENT, begin, check_password, finish, standing_at
from portal.accounts.words import explain, put_errors
from portal.actors import actor_of, newcomer
from portal.web.components import steps


def _course(current: int) -> list[object]:
    return [*steps((_("Password"), _("Second factor"), _("Recovery codes")), current=current)]


@door("GET", "POST")
def invitation(http: HttpRequest, token: str) -> HttpResponse:
    """Open an invitation: choose a password, or prove it where only the factors were reset."""
    found = find_invitation(token, at=clock.now())
    if found is None:
        return render(http, "accounts/link_over.html", {"kind": "invitation"}, status=410)
    keeps_password = found.purpose == InvitationPurpose.FACTORS
    form_class = PresentPasswordForm if keeps_password else NewPasswordForm
    form = form_class(http.POST or None)
    if http.method == "POST" and form.is_valid() and _accepted(http, found, token, form):
        return HttpResponseRedirect(reverse("set_up"))
    context = {
        "form": form,
        "person": found.person,
        "purpose": found.purpose,
        "keeps_password": keeps_password,
        "steps": _course(0),
    }
    return render(http, "accounts/invitation.html", context, status=422 if http.method == "POST" else 200)


def _accepted(http: HttpRequest, found: Invitation, token: str, form: NewPasswordForm | PresentPasswordForm) -> bool:
    password = form.cleaned_data["new" if "new" in form.fields else "password"]
    # A mailed link must not be a place to guess passwords at leisure: the sign-in's own counter counts here too.
    if "password" in form.fields and check_password(http, found.person.email, password).person is None:
        form.add_error("password", _("This is not your password, or too many were tried."))
        return False
    try:
        person = accept_invitation(found, token, actor=newcomer(http, found.person), password=password)
    except NotFound:
        form.add_error(None, _("This invitation was used a moment ago."))
        return False
    except Invalid as refused:
        renamed = Invalid({("new" if name == "password" else name): why for name, why in refused.fields.items()})
        put_errors(form, renamed)
        return False
    begin(http, person, ENROLMENT)
    return True


def _newcomer(http: HttpRequest) -> tuple[Person, Actor] | None:
    person = standing_at(http, ENROLMENT)
    if person is None or not may_still_enrol(person.pk, at=clock.now()):
        return None
    return person, newcomer(http, person)


@door("GET")
def set_up(http: HttpRequest) -> HttpResponse:
    """Offer the two kinds of second factor; passkeys first, for they cannot be phished."""
    if _newcomer(http) is None:
        return HttpResponseRedirect(reverse("sign_in"))
    return _set_up_page(http)


def _set_up_page(http: HttpRequest, *, problem: str = "", status: int = 200) -> HttpResponse:
    context = {"steps": _course(1), "problem": problem}
    return render(http, "accounts/set_up.html", context, status=status)


@door("POST")
def set_up_totp(http: HttpRequest) -> HttpResponse:
    """Make a seed and show it, once, as a QR code and as text."""
    who = _newcomer(http)
    if who is None:
        return HttpResponseRedirect(reverse("sign_in"))
    person, actor = who
    try:
        device = enrol_totp(person, actor=actor, name=_("Authenticator app"))
    except KeysError as refused:
        return _set_up_page(http, problem=explain(refused.code, refused.params), status=refused.status)
    return totp_page(http, device, CodeForm(), confirm_url=reverse("set_up_totp_confirm"), course=_course(1))


def totp_page(
    http: HttpRequest, device: TotpDevice, form: CodeForm, *, confirm_url: str, course: list[object] | None = None
) -> HttpResponse:
    """Show the seed of an unconfirmed device; only ever the answer to a POST."""
    context = {
        "device": device,
        "qr": qr_of(device),
        "seed": seed_text(device).reveal(),
        "form": form,
        "confirm_url": confirm_url,
        "steps": course or [],
    }
    return render(http, "accounts/totp.html", context, status=422 if form.errors else 200)


def unconfirmed(http: HttpRequest, person: Person) -> TotpDevice | None:
    """Return the device that a form speaks of, if it is this person's and still waits for its first code."""
    return TotpDevice.objects.filter(user=person, confirmed=False, removed_at=None).order_by("-created_at").first()


@door("POST")
def set_up_totp_confirm(http: HttpRequest) -> HttpResponse:
    """Confirm the app by its first code, sign in, and show the recovery codes."""
    who = _newcomer(http)
    device = unconfirmed(http, who[0]) if who is not None else None
    if who is None or device is None:
        return HttpResponseRedirect(reverse("sign_in"))
    person, actor = who
    form = CodeForm(http.POST)
    if form.is_valid():
        try:
            device = confirm_totp(device, actor=actor, code=form.cleaned_data["code"])
        except Invalid as refused:
            put_errors(form, refused)
        else:
            proof = Proof(method="totp", device=f"totp:{device.pk}", assurance="otp")
            return _finished(http, person, actor=actor, proof=proof)
    return totp_page(http, device, form, confirm_url=reverse("set_up_totp_confirm"), course=_course(1))


@door("POST")
def set_up_passkey(http: HttpRequest) -> HttpResponse:
    """Keep the passkey that the browser made, sign in, and show the recovery codes."""
    who = _newcomer(http)
    if who is None:
        return HttpResponseRedirect(reverse("sign_in"))
    person, actor = who
    form = FactorNameForm({"name": http.POST.get("name", "") or _("Passkey")})
    challenge = enrol_challenge(row_of(http))
    try:
        if not form.is_valid():
            raise Invalid.field("name", "too_long", most=64)
        credential = read_registration(http.POST.get("credential", ""), challenge)
        passkey = enrol_passkey(person, actor=actor, name=form.cleaned_data["name"], credential=credential)
    except Invalid as refused:
        code, params = next(iter(refused.fields.values()))
        return _set_up_page(http, problem=explain(code, params), status=422)
    except KeysError as refused:
        return _set_up_page(http, problem=explain(refused.code, refused.params), status=refused.status)
    proof = Proof(method="passkey", device=f"passkey:{passkey.pk}", assurance="phishing-resistant")
    return _finished(http, person, actor=actor, proof=proof)


def _finished(http: HttpRequest, person: Person, *, actor: Actor, proof: Proof) -> HttpResponse:
    finish(http, person, actor=actor, proof=proof, steps=("factors",))
    codes = make_recovery_codes(person, actor=actor_of(http))
    context = {"codes": [code.reveal() for code in codes], "steps": _course(2), "next": "/"}
    return render(http, "accounts/recovery_codes.html", context)
