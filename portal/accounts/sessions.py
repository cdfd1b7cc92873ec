"""Show people where they are signed in, and let them end it."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from audit.log import record
from keys.models import Session
from keys.operations import operation
from keys.people.session_table import delete_session_row
from portal.accounts.doors import row_of, say, signed_in_door
from portal.actors import session_name
from portal.events import SessionEnded


@signed_in_door("GET")
def sessions(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List the living sessions of a person."""
    row = row_of(http)
    context = {
        "sessions": Session.objects.visible_to(actor).living(),
        "this_one": row.pk if row is not None else None,
    }
    return render(http, "accounts/sessions.html", context)


@operation
def end_session(session: Session, *, actor: Actor) -> None:
    """End one of one's own sessions; the browser that holds it is signed out at its next call."""
    if delete_session_row(session.pk):
        ended = SessionEnded(target_id=session_name(session), reason="ended-by-owner", person=actor.id)
        record(ended, actor=actor, at=clock.now())


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


@signed_in_door("POST")
def end_others(http: HttpRequest, actor: Actor) -> HttpResponse:
    """End every session of one's own but this one."""
    row = row_of(http)
    others = Session.objects.visible_to(actor)
    for session in others.exclude(pk=row.pk) if row is not None else others:
        end_session(session, actor=actor)
    say(http, _("All other sessions are ended."))
    return HttpResponseRedirect(reverse("sessions"))
