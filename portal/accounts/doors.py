"""Say who may knock at an account page, and where a person may be sent afterwards."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, cast

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from audit import clock
from audit.actor import Actor
from audit.events import Event
from audit.log import record
from keys.models import Person, Session
from portal.accounts.session_store import SessionStore
from portal.actors import SignInRequired, find_actor, to_sign_in
from portal.web.doors import lay_needs

P = ParamSpec("P")
Open = Callable[Concatenate[HttpRequest, P], HttpResponse]
LONGEST_PATH = 500


def door(*methods: str) -> Callable[[Open[P]], Open[P]]:
    """Let anybody knock, with these methods only; nothing that is answered may be stored by a cache."""

    def wrap(view: Open[P]) -> Open[P]:
        @functools.wraps(view)
        def knock(http: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            return unstored(view(http, *args, **kwargs))

        return cast("Open[P]", require_http_methods(methods)(knock))

    return wrap


def signed_in_door(*methods: str) -> Callable[[Callable[Concatenate[HttpRequest, Actor, P], HttpResponse]], Open[P]]:
    """Let people with a second factor knock; others are sent to sign in."""

    def wrap(view: Callable[Concatenate[HttpRequest, Actor, P], HttpResponse]) -> Open[P]:
        @functools.wraps(view)
        def knock(http: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            actor = find_actor(http)
            if actor is None:
                return to_sign_in(http)
            lay_needs(http, actor)
            return unstored(view(http, actor, *args, **kwargs))

        return cast("Open[P]", require_http_methods(methods)(knock))

    return wrap


def unstored(answer: HttpResponse) -> HttpResponse:
    """Forbid every cache to keep an answer."""
    patch_cache_control(answer, no_store=True, private=True)
    return answer


def store_of(http: HttpRequest) -> SessionStore:
    """Return the session with its own methods."""
    return cast("SessionStore", http.session)


def row_of(http: HttpRequest) -> Session | None:
    """Return the living row of this browser's session, whoever it belongs to."""
    return store_of(http).current()


def person_of(http: HttpRequest) -> Person:
    """Return the person of a signed-in door: the row itself, for operations lock it."""
    row = row_of(http)
    if row is None or row.person is None:
        raise SignInRequired
    return row.person


def tell(event: Event, *, actor: Actor) -> None:
    """Record an event that has no change of state beside it."""
    with transaction.atomic():
        record(event, actor=actor, at=clock.now())


def local_path(wanted: str) -> str:
    """Return `wanted` if it is a path of this site, or else `/`: nobody is sent elsewhere after a sign-in."""
    is_safe = (
        0 < len(wanted) <= LONGEST_PATH
        and wanted.startswith("/")
        and wanted.isprintable()
        and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    )
    return wanted if is_safe else "/"


def say(http: HttpRequest, words: object) -> None:
    """Show one line on the next page. Never anything secret: it rests in the session."""
    messages.success(http, str(words))
