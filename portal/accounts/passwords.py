"""Change a password, or ask for and use a link to set a new one. No link signs anybody in."""

from __future__ import annotations

import time
from typing import Final

from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.actor import Actor
from keys.errors import Gone, Invalid, KeysError
from keys.people.passwords import change_password, complete_password_reset, find_reset, request_password_reset
from portal.accounts.doors import door, person_of, row_of, say, signed_in_door
from portal.accounts.forms import AddressForm, ChangePasswordForm, NewPasswordForm
from portal.accounts.step_up import StepUpProblem, confirm, fields
from portal.accounts.words import explain, explain_refusal, put_errors
from portal.actors import actor_of, visitor

# A wish for a new password is answered no sooner: what is written for a known address takes longer than nothing for another.
ANSWERED_AFTER_SECONDS: Final = 0.25


@signed_in_door("GET", "POST")
def password(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Change one's own password with a step-up; other sessions end, this one gets a new key."""
    form = ChangePasswordForm(http.POST if http.method == "POST" else None)
    problem: StepUpProblem | None = None
    status = 200
    if http.method == "POST":
        status = 422
        problem = confirm(http, "factors") if form.is_valid() else None
        if problem is not None:
            status = problem.status
        elif form.is_valid():
            status = _changed(http, form, actor=actor_of(http))
        if status == 200:
            say(http, _("The password is changed. Your other sessions are ended."))
            return HttpResponseRedirect(reverse("password"))
    context = {"form": form, "step_up": fields(http, "factors", problem=problem)}
    return render(http, "accounts/password.html", context, status=status)


def _changed(http: HttpRequest, form: ChangePasswordForm, *, actor: Actor) -> int:
    """Change the password; 200, or the status of what was refused, with its words in the form."""
    row, person = row_of(http), person_of(http)
    try:
        refusal = change_password(
            person,
            actor=actor,
            current=form.cleaned_data["current"],
            new=form.cleaned_data["new"],
            session_id=row.pk if row is not None else None,
        )
    except Invalid as refused:
        put_errors(form, refused)
        return refused.status
    except KeysError as refused:
        form.add_error(None, explain(refused.code, refused.params))
        return refused.status
    if refusal is not None:
        is_locked = refusal.code == "locked"
        form.add_error("current", explain_refusal(refusal) if is_locked else explain("wrong_password", {}))
        return 429 if is_locked else 422
    person.refresh_from_db()
    update_session_auth_hash(http, person)
    return 200


@door("GET", "POST")
def forgotten(http: HttpRequest) -> HttpResponse:
    """Ask for a link; whether the address is known is never told."""
    form = AddressForm(http.POST or None)
    if http.method == "POST" and form.is_valid():
        began = time.monotonic()
        request_password_reset(form.cleaned_data["email"], actor=visitor(http))
        time.sleep(max(0.0, began + ANSWERED_AFTER_SECONDS - time.monotonic()))
        return render(http, "accounts/password_forgotten_sent.html", {})
    return render(http, "accounts/password_forgotten.html", {"form": form}, status=422 if form.errors else 200)


@door("GET", "POST")
def reset(http: HttpRequest, token: str) -> HttpResponse:
    """Set a new password by a mailed link, then sign in with it and the second factor as ever."""
    found = find_reset(token)
    if found is None:
        return render(http, "accounts/link_over.html", {"kind": "password-reset"}, status=410)
    form = NewPasswordForm(http.POST or None)
    if http.method == "POST" and form.is_valid():
        try:
            complete_password_reset(found, token, actor=visitor(http), new=form.cleaned_data["new"])
        except Invalid as refused:
            put_errors(form, refused)
        except Gone:
            return render(http, "accounts/link_over.html", {"kind": "password-reset"}, status=410)
        else:
            return render(http, "accounts/password_reset_done.html", {})
    return render(http, "accounts/password_reset.html", {"form": form}, status=422 if form.errors else 200)
