"""Show people where they are signed in, and let them end it."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.models import Person, Session
from keys.operations import operation
from keys.people.device_sign_ins import end_sign_ins_of, token_period
from keys.people.session_ends import end_session
from portal.accounts.doors import person_of, row_of, say, signed_in_door


@signed_in_door("GET")
def sessions(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List the living sessions of a person."""
    row = row_of(http)
    context = {
        "sessions": Session.objects.visible_to(actor).living(),
        "this_one": row.pk if row is not None else None,
        "may_sign_in_devices": bool(token_period()),
    }
    return render(http, "accounts/sessions.html", context)


@signed_in_door("POST")
def end_one(http: HttpRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """End one session of one's own; somebody else's does not exist."""
    session = Session.objects.visible_to(actor).filter(pk=pk).first()
    if session is None:
        raise Http404
    end_session(session, actor=actor)
    row = row_of(http)
    if row is not None and row.pk == pk:
        http.session.flush()
        return HttpResponseRedirect(reverse("sign_in"))
    say(http, _("The session is ended."))
    return HttpResponseRedirect(reverse("sessions"))


@operation
def _end_sign_ins(person: Person, *, actor: Actor) -> None:
    end_sign_ins_of(person.pk, actor=actor, at=clock.now())


@signed_in_door("POST")
def end_others(http: HttpRequest, actor: Actor) -> HttpResponse:
    """End every session of one's own but this one, and what a device may still take a token for."""
    row = row_of(http)
    _end_sign_ins(person_of(http), actor=actor)
    others = Session.objects.visible_to(actor)
    for session in others.exclude(pk=row.pk) if row is not None else others:
        end_session(session, actor=actor)
    say(http, _("All other sessions are ended."))
    return HttpResponseRedirect(reverse("sessions"))
