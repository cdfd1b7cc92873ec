"""Change a password, or ask for and use a link to set a new one. No link signs anybody in."""

from __future__ import annotations

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
from portal.accounts.words import explain, put_errors
from portal.actors import visitor


@signed_in_door("GET", "POST")
def password(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Change one's own password; other sessions end, this one gets a new key."""
    form = ChangePasswordForm(http.POST or None)
    if http.method == "POST" and form.is_valid():
        row = row_of(http)
        person = person_of(http)
        try:
            change_password(
                person,
                actor=actor,
                current=form.cleaned_data["current"],
                new=form.cleaned_data["new"],
                session_id=row.pk if row is not None else None,
            )
        except Invalid as refused:
            put_errors(form, refused)
        except KeysError as refused:
            form.add_error(None, explain(refused.code, refused.params))
        else:
            person.refresh_from_db()
            update_session_auth_hash(http, person)
            say(http, _("The password is changed. Your other sessions are ended."))
            return HttpResponseRedirect(reverse("password"))
    return render(http, "accounts/password.html", {"form": form}, status=422 if form.errors else 200)


@door("GET", "POST")
def forgotten(http: HttpRequest) -> HttpResponse:
    """Ask for a link; whether the address is known is never told."""
    form = AddressForm(http.POST or None)
    if http.method == "POST" and form.is_valid():
        request_password_reset(form.cleaned_data["email"], actor=visitor(http))
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
