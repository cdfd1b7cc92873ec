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
from keys.models import KeyRequest
from keys.models.reach import reach_of
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
            return to_sign_in(http)
        # The navigation counts what waits for this person; only pages that are drawn ask for it.
        http.inbox_count = functools.cache(functools.partial(count_waiting, actor))  # type: ignore[attr-defined]
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


def count_waiting(actor: Actor) -> int:
    """How many requests wait for this person's decision."""
    return KeyRequest.objects.visible_to(actor).awaiting(reach_of(actor).seats, clock.now()).count()


def inbox_count(http: HttpRequest) -> int:
    """How many requests wait for whoever this door was opened to; counted once a page."""
    return int(http.inbox_count())  # type: ignore[attr-defined]  # laid there by the door
