"""Let auditors and administrators search the log, open an event, and read one key's life. Reading is on record."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from audit.actor import Actor
from audit.queries import BadPosition, Position
from audit.seals import seals_of
from keys.errors import Busy
from keys.models import KeyVersion, ManagedKey
from keys.reports.finding import known_people
from keys.reports.labels import names_in
from keys.reports.lives import read_key_life
from keys.reports.log import enter_log, read_event, search_log
from portal.web.doors import page
from portal.web.event_pages import event_facts, event_rows
from portal.web.filters import number_in
from portal.web.finding import key_by_number
from portal.web.life_pages import life_facts
from portal.web.log_form import LogForm
from portal.web.saved_searches import saved_for


@page
def audit(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Search the log; the newest events first."""
    form = LogForm(http.GET, actor=actor)
    context: dict[str, Any] = {"form": form, "people": known_people(actor)}
    if not form.is_valid():
        enter_log(actor=actor)
        return render(http, "web/audit/log.html", context | {"offers": form.choices_offered()}, status=422)
    place = _place(http)
    newer = bool(http.GET.get("newer"))
    try:
        found = search_log(form.search(), actor=actor, after=place, newer=newer)
    except Busy:
        # The search went into its time limit. Whoever asks hears what to do, not that something is broken.
        return render(http, "web/audit/log.html", context | {"too_slow": True}, status=503)
    saved = saved_for(actor)
    context |= {
        "rows": event_rows(found.events, names_in(found.events), found.sealed),
        "following": form.query(after=found.following.text()) if found.following else "",
        "preceding": form.query(after=found.preceding.text(), newer="1") if found.preceding else "",
        "newest": form.query() if place else "",
        "looked_until": found.looked_until.occurred_at if found.looked_until else None,
        "kept": form.canonical(),
        "query": form.query(),
        "saved": saved,
        "day": _day(http.GET.get("day", "")),
    }
    return render(http, "web/audit/log.html", context)


def _place(http: HttpRequest) -> Position | None:
    """Where to go on: from a place of an earlier page, or with the last event of a day."""
    try:
        if text := http.GET.get("after", ""):
            return Position.parse(text)
    except BadPosition:
        return None  # links grow old, and an old link is no attack
    day = _day(http.GET.get("day", ""))
    if day is None or day >= date.max:
        return None
    return Position(occurred_at=datetime.combine(day + timedelta(days=1), time.min, UTC), id=0)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None


@page
def event(http: HttpRequest, actor: Actor, uid: UUID) -> HttpResponse:
    """Show everything about one event."""
    found = read_event(uid, actor=actor)
    seal = seals_of([found.pk]).get(found.pk)
    return render(http, "web/audit/event.html", event_facts(found, names_in([found]), seal))


@page
def find_life(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Go to the life of the key that somebody typed: its number, or the kid of one of its versions."""
    enter_log(actor=actor)
    typed = http.GET.get("key", "").strip()[:80]
    number = number_in(typed, "KEY-")
    keys = ManagedKey.objects.visible_to(actor)
    versions = KeyVersion.objects.visible_to(actor).filter(kid=typed)
    found = keys.filter(number=number).first() if number else keys.filter(pk__in=versions.values("managed_key")).first()
    if found is None:
        return render(http, "web/audit/no_life.html", {"typed": typed}, status=404)
    return HttpResponseRedirect(reverse("key_life", args=[found.number]))


@page
def key_life(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Tell one key's whole life on one page."""
    life = read_key_life(key_by_number(number, actor=actor), actor=actor)
    return render(http, "web/audit/life.html", life_facts(life))
