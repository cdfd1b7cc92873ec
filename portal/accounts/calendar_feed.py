"""Answer calendar programs: whoever holds an address reads names and times, and nothing else happens."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.models import Team
from keys.notifications import ics
from keys.notifications.calendars import entries_of, keys_of, reader_of
from keys.people.calendar_feeds import find_feed, note_reading
from portal.accounts.doors import door


@door("GET", "HEAD")
def calendar_feed(http: HttpRequest, token: str) -> HttpResponse:
    """Show the calendar of an address. One that ended answers as one that never was."""
    feed = find_feed(token)
    if feed is None:
        return HttpResponse(_("There is no calendar here."), status=404, content_type="text/plain; charset=utf-8")
    at = clock.now()
    note_reading(feed, token, at=at)
    return calendar_file(http, reader_of(feed), team=feed.team, at=at)


def calendar_file(http: HttpRequest, actor: Actor, *, team: Team | None, at: datetime) -> HttpResponse:
    """Write the calendar of an actor or of a team, or say that it is the one that the caller has."""
    name = _("Keystead: %(team)s") % {"team": team.name} if team is not None else _("Keystead: my keys")
    body = ics.written(name, entries_of(keys_of(actor, team=team), at=at))
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    answer = HttpResponse(body, content_type=ics.CONTENT_TYPE)
    answer["ETag"] = etag
    answer["Content-Disposition"] = 'inline; filename="keystead.ics"'
    shown: HttpResponse = get_conditional_response(http, etag=etag, response=answer) or answer
    return shown
