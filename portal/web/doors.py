"""Open pages to people with a second factor only, and lay what every page of theirs needs beside the request."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, cast

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from audit import clock
from audit.actor import Actor
from keys.errors import NotFound
from keys.notifications.needs import NeedKind, Needs, needs_of
from keys.operations import record_unseen
from portal.actors import find_actor, to_sign_in

P = ParamSpec("P")
Open = Callable[Concatenate[HttpRequest, P], HttpResponse]
Page = Callable[Concatenate[HttpRequest, Actor, P], HttpResponse]


def page(view: Page[P]) -> Open[P]:
    """Show something; GET is safe."""
    return _door(view, ("GET", "HEAD"))


def form_page(view: Page[P]) -> Open[P]:
    """Show a form, and take it."""
    return _door(view, ("GET", "HEAD", "POST"))


def act(view: Page[P]) -> Open[P]:
    """Do one thing that a button of another page asks for."""
    return _door(view, ("POST",))


def _door(view: Page[P], methods: tuple[str, ...]) -> Open[P]:
    @functools.wraps(view)
    def knock(http: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        actor = find_actor(http)
        if actor is None:
            return to_sign_in(http, is_form="GET" in methods)
        lay_needs(http, actor)
        try:
            answer = view(http, actor, *args, **kwargs)
        except NotFound:
            if http.method == "POST":
                number = kwargs.get("number")
                record_unseen(view.__name__, actor=actor, number=number if isinstance(number, int) else None)
            raise
        answer["Cache-Control"] = "no-store, private"
        return answer

    return cast("Open[P]", require_http_methods(methods)(knock))


def lay_needs(http: HttpRequest, actor: Actor) -> None:
    """Lay what waits for this person beside the request: found once, and only when a page is drawn that shows it."""
    http.needs = found = functools.cache(lambda: needs_of(actor, at=clock.now()))  # type: ignore[attr-defined]
    http.needs_count = lambda: found().total  # type: ignore[attr-defined]
    http.inbox_count = lambda: len(found().of(NeedKind.DECISION))  # type: ignore[attr-defined]


def needs_in(http: HttpRequest) -> Needs:
    """What waits for whoever this door was opened to."""
    found: Needs = http.needs()  # type: ignore[attr-defined]  # laid there by the door
    return found
