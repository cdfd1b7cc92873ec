"""Read the filters of a list from an address: only what is allowed counts, and anything else is no filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.translation import gettext as _

from audit.actor import Actor
from keys.models import Service, Team
from portal.web.components import Words
from portal.web.finding import environments

LONGEST_SEARCH = 80


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One filter as a select: what it is called, what may be chosen, what is chosen."""

    name: str
    label: Words
    any_label: Words
    options: Sequence[tuple[str, Words]]
    chosen: str


def choice(
    http: HttpRequest, name: str, label: Words, options: Iterable[tuple[str, Words]], *, any_label: Words
) -> Choice:
    """Read one filter; a value outside of `options` chooses nothing."""
    allowed = [(str(value), words) for value, words in options]
    asked = http.GET.get(name, "")
    chosen = asked if asked in {value for value, _ in allowed} else ""
    return Choice(name=name, label=label, any_label=any_label, options=allowed, chosen=chosen)


def environment_choice(http: HttpRequest, actor: Actor) -> Choice:
    """Read in which environment."""
    options = [(row.tag, row.name) for row in environments(actor)]
    return choice(http, "environment", _("Environment"), options, any_label=_("Any environment"))


def service_choice(http: HttpRequest, actor: Actor) -> Choice:
    """Read for which service."""
    options = [(row.slug, row.name) for row in Service.objects.visible_to(actor)]
    return choice(http, "service", _("Service"), options, any_label=_("Any service"))


def team_choice(http: HttpRequest, actor: Actor) -> Choice:
    """Read whose."""
    options = [(row.slug, row.name) for row in Team.objects.visible_to(actor)]
    return choice(http, "team", _("Owner team"), options, any_label=_("Any team"))


def searched(http: HttpRequest) -> str:
    """Read what was typed into the search field."""
    return " ".join(http.GET.get("q", "").split())[:LONGEST_SEARCH]


def is_filtered(search: str, choices: Iterable[Choice]) -> bool:
    """Tell whether the list shows less than everything."""
    return bool(search) or any(each.chosen for each in choices)


def number_in(search: str, prefix: str) -> int | None:
    """Read `KEY-1001` or `1001` as the number that people say aloud."""
    text = search.upper().removeprefix(prefix)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None
