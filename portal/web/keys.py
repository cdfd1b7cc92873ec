"""Show a person's keys with what needs action first, all keys one may see, and one key with its use and life."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from audit import clock
from audit.actor import Actor
from keys.lifecycle.history import events_of_key
from keys.lifecycle.inventory import KeyLine, Standing, ending_soon, line_of, lines_of, standing_as, unused
from keys.models import KeyVersion, ManagedKey, Scope, Team
from keys.monitoring.usage import usage_of
from keys.states import Role, RotationState
from keys.verification.watching.overview import receipts_of
from portal.web.action_items import action_items
from portal.web.components import Tab
from portal.web.doors import needs_in, page
from portal.web.filters import (
    Choice,
    choice,
    environment_choice,
    is_filtered,
    number_in,
    searched,
    service_choice,
    team_choice,
)
from portal.web.finding import key_by_number, names_of, open_rotation_of, open_transfer, stopped_keys, teams_of
from portal.web.key_acts import acts_on
from portal.web.life import told
from portal.web.listing import Page, Sorting, keyset_page
from portal.web.verifiers import ReceiptLine
from portal.web.wording import STANDINGS, outcome_words, reason_words

SORTS = ("name", "authorised_until", "created_at")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One page of a list of keys, with its filters."""

    page: Page[ManagedKey]
    lines: list[KeyLine]
    sorting: Sorting
    choices: list[Choice]
    search: str

    @property
    def is_filtered(self) -> bool:
        return is_filtered(self.search, self.choices)


@page
def my_keys(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show what needs action first, then the keys of this person's teams."""
    teams = teams_of(actor)
    if not http.GET and not teams and Role.AUDITOR in getattr(http.user, "roles", ()):
        return HttpResponseRedirect(reverse("audit"))  # who only reads owns nothing: the log is where they land
    rows = ManagedKey.objects.visible_to(actor).filter(Q(owner_team__in=teams) | Q(recipient_id=UUID(actor.id)))
    context = {
        "items": action_items(actor, needs_in(http), at=clock.now()),
        "needs_total": needs_in(http).total,
        "listing": _listing(http, rows, actor=actor),
        "has_team": bool(teams),
    }
    return render(http, "web/my_keys.html", context)


@page
def all_keys(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show every key one may see."""
    listing = _listing(http, ManagedKey.objects.visible_to(actor), actor=actor, by_team=True)
    return render(http, "web/all_keys.html", {"listing": listing})


def _listing(http: HttpRequest, rows: QuerySet[ManagedKey], *, actor: Actor, by_team: bool = False) -> Listing:
    at = clock.now()
    standings = [(standing, STANDINGS[standing][0]) for standing in Standing]
    choices = [
        choice(
            http,
            "state",
            _("State"),
            [*standings, ("ending", _("Ends within 30 days")), ("unused", _("Unused for long"))],
            any_label=_("Any state"),
        ),
        environment_choice(http, actor),
        service_choice(http, actor),
    ]
    if by_team:
        choices.append(team_choice(http, actor))
    search = searched(http)
    chosen = {each.name: each.chosen for each in choices}
    rows = _searched(rows, search, actor=actor)
    if chosen["environment"]:
        rows = rows.filter(environment__tag=chosen["environment"])
    if chosen["service"]:
        rows = rows.filter(service__slug=chosen["service"])
    if chosen.get("team"):
        rows = rows.filter(owner_team__slug=chosen["team"])
    if chosen["state"] == "ending":
        rows = ending_soon(rows, at=at)
    elif chosen["state"] == "unused":
        rows = unused(rows, at=at)
    elif chosen["state"]:
        rows = standing_as(rows, Standing(chosen["state"]), at=at)
    sorting = Sorting.chosen(http, allowed=SORTS, default="name")
    found = keyset_page(
        rows.select_related("service", "environment", "owner_team", "recipient"), http, order=sorting.current
    )
    return Listing(page=found, lines=lines_of(found.rows, at=at), sorting=sorting, choices=choices, search=search)


def _searched(rows: QuerySet[ManagedKey], search: str, *, actor: Actor) -> QuerySet[ManagedKey]:
    """Search by name, consumer, KEY-number, or a kid, such as a scanner or a log shows it."""
    if not search:
        return rows
    number = number_in(search, "KEY-")
    kid = search.split("_")[2] if search.startswith("ks_") and search.count("_") >= 2 else search
    versions = KeyVersion.objects.visible_to(actor).filter(managed_key=OuterRef("pk"), kid=kid)
    return rows.filter(
        Q(name__icontains=search)
        | Q(consumer__icontains=search)
        | Q(Exists(versions))
        | (Q(number=number) if number is not None else Q(pk=None))
    )


@page
def key_detail(http: HttpRequest, actor: Actor, number: int) -> HttpResponse:
    """Show one key: facts, versions, use, life, and what one may do with it."""
    key = key_by_number(number, actor=actor)
    at = clock.now()
    versions = list(
        KeyVersion.objects.visible_to(actor).filter(managed_key=key).select_related("claimed_by").order_by("-sequence")
    )
    usage = usage_of(key, at=at)
    view = http.GET.get("view", "")
    view = view if view in ("use", "life") else ""
    scopes = Scope.objects.visible_to(actor).filter(service=key.service, name__in=key.scopes)
    line = line_of(key, versions, at=at, last_used_at=usage.last_used_at)
    rotation = open_rotation_of(key, actor=actor)
    context: dict[str, object] = {
        "key": key,
        "environment": key.environment,
        "rotation": rotation,
        "under_way": rotation if rotation is not None and rotation.state != RotationState.SCHEDULED else None,
        "is_stopped": line.standing == Standing.SUSPENDED and bool(stopped_keys([key.pk], actor=actor)),
        "line": line,
        "suspended_because": reason_words(line.version.suspended_reason) if line.version else "",
        "versions": [(version, _ending(version)) for version in versions],
        "scopes": scopes.order_by("name"),
        "usage": usage,
        "chart": [(date_format(day, "j M"), count) for day, count in usage.days],
        "outcomes": [(outcome_words(row.outcome), row) for row in usage.outcomes],
        "acts": acts_on(key, versions, actor=actor, at=at),
        "transfer": open_transfer(key, actor=actor),
        "receipts": [] if view else [ReceiptLine(each) for each in receipts_of(key)],
        "revoked_by": names_of([key.revoked_by], actor=actor).get(key.revoked_by, ""),
        "revoked_because": reason_words(key.revoked_reason),
        "at": at,
        "view": view,
        "tabs": [
            Tab(label=_("Overview"), href="?", is_current=not view),
            Tab(label=_("Use"), href="?view=use", is_current=view == "use"),
            Tab(label=_("Life"), href="?view=life", is_current=view == "life"),
        ],
    }
    if view == "life":
        teams = {str(team.pk): team.name for team in Team.objects.visible_to(actor)}
        context["life"] = told(events_of_key(key), actor=actor, versions=versions, teams=teams)
    return render(http, "web/key.html", context)


def _ending(version: KeyVersion) -> object:
    """Say why a version stopped, if it did."""
    return reason_words(version.ended_reason or version.suspended_reason)
