"""Show a person's teams, and one team: who is in it, what it owns."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit import clock
from audit.actor import Actor
from keys.lifecycle.inventory import lines_of
from keys.lifecycle.leaving import leavers
from keys.models import ManagedKey, Membership, Service, Team
from keys.people.standing import standing_of
from keys.policy.channel_rules import may_choose_team_mail
from keys.states import TeamMail
from portal.web.channel_words import TEAM_MAILS
from portal.web.chats import chats_of
from portal.web.doors import page
from portal.web.finding import team_by_slug, teams_of
from portal.web.wording import TEAM_ROLES

MOST_KEYS = 20


@page
def team_list(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List one's own teams first, then the others."""
    mine = teams_of(actor)
    others = Team.objects.visible_to(actor).living().exclude(pk__in=[team.pk for team in mine])
    counted: dict[object, int] = {}
    for team_id in Membership.objects.visible_to(actor).living().values_list("team_id", flat=True):
        counted[team_id] = counted.get(team_id, 0) + 1
    context = {
        "mine": [(team, counted.get(team.pk, 0)) for team in mine],
        "others": [(team, counted.get(team.pk, 0)) for team in others],
    }
    return render(http, "web/teams.html", context)


@page
def team(http: HttpRequest, actor: Actor, slug: str) -> HttpResponse:
    """Show one team: names are no secret among colleagues, keys are shown to those who may see them."""
    row = team_by_slug(slug, actor=actor)
    at = clock.now()
    members = Membership.objects.visible_to(actor).living().filter(team=row).select_related("person")
    keys = (
        ManagedKey.objects.visible_to(actor)
        .living(at)
        .filter(owner_team=row)
        .select_related("service", "environment", "owner_team", "recipient")
        .order_by("name", "pk")
    )
    shown = list(keys[: MOST_KEYS + 1])
    context = {
        "team": row,
        "members": [(each.person, [TEAM_ROLES[role] for role in each.roles]) for each in members],
        "services": Service.objects.visible_to(actor).filter(owner_team=row),
        "leavers": leavers(ManagedKey.objects.visible_to(actor).filter(owner_team=row), at=at),
        "lines": lines_of(shown[:MOST_KEYS], at=at),
        "has_more": len(shown) > MOST_KEYS,
        "is_mine": any(str(each.person_id) == actor.id for each in members),
        "chats": chats_of(row, actor=actor),
        "mail_to": [(str(each), words, each == row.mail_to) for each, words in TEAM_MAILS.items()],
        "mailed": TEAM_MAILS[TeamMail(row.mail_to)],
        "may_choose": row.retired_at is None and may_choose_team_mail(standing_of(actor, at=at), team_id=row.pk),
    }
    return render(http, "web/team.html", context)
