"""Show everything that waits for a person, each with one clear action."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit import clock
from audit.actor import Actor
from portal.web.action_items import action_items
from portal.web.doors import needs_in, page

MOST = 50  # of a kind


@page
def needs(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List what waits, the most urgent first."""
    found = needs_in(http)
    items = action_items(actor, found, at=clock.now(), most=MOST)
    return render(http, "web/needs.html", {"items": items, "total": found.total})
