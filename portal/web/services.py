"""Show the catalogue: services, their scopes with risks, their templates, and what policy asks for in each environment."""

from __future__ import annotations

from itertools import groupby

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from audit import clock
from audit.actor import Actor
from keys.catalogue.policies import rules_of
from keys.models import Environment, KeyTemplate, ManagedKey, Policy, Scope, Service
from keys.models.reach import reach_of
from keys.people.standing import approvers_by_side
from keys.states import Access
from portal.web.doors import page
from portal.web.filters import searched
from portal.web.finding import environments, service_by_slug
from portal.web.policy_words import policy_sentences
from portal.web.wording import ACCESS_HEADINGS


@page
def services(http: HttpRequest, actor: Actor) -> HttpResponse:
    """List the services that keys open."""
    search = searched(http)
    rows = Service.objects.visible_to(actor).select_related("owner_team")
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(slug__icontains=search) | Q(description__icontains=search))
    living = Count("scopes", filter=Q(scopes__retired_at=None))
    context = {"services": rows.annotate(scope_count=living).order_by("name"), "search": search}
    return render(http, "web/services.html", context)


@page
def service(http: HttpRequest, actor: Actor, slug: str) -> HttpResponse:
    """Show one service as somebody who wants a key, approves one, or owns it needs to see it."""
    row = service_by_slug(slug, actor=actor)
    at = clock.now()
    scopes = sorted(
        Scope.objects.visible_to(actor).filter(service=row, retired_at=None),
        key=lambda scope: (list(Access).index(Access(scope.access)), scope.name),
    )
    reach = reach_of(actor)
    answers_for_it = reach.everything or row.owner_team_id in reach.team_ids
    context = {
        "service": row,
        "groups": [
            (ACCESS_HEADINGS[access], list(group)) for access, group in groupby(scopes, key=lambda each: each.access)
        ],
        "templates": KeyTemplate.objects.visible_to(actor).living().filter(service=row),
        "policies": _policies(row, actor=actor),
        "approvers": approvers_by_side(service_team_id=row.owner_team_id, approver_team_id=None, excluded=set()).get(
            "service", []
        ),
        "answers_for_it": answers_for_it,
        "living_keys": ManagedKey.objects.visible_to(actor).living(at).filter(service=row).count()
        if answers_for_it
        else None,
        "ask_url": f"{reverse('ask')}?service={row.slug}",
        "takes_keys": row.retired_at is None and row.retires_at is None,
    }
    return render(http, "web/service.html", context)


def _policies(row: Service, *, actor: Actor) -> list[tuple[Environment, int, list[str]]]:
    """Say the rules in force, environment by environment."""
    current = {
        policy.environment_id: policy
        for policy in Policy.objects.visible_to(actor).current().filter(service=row).select_related("approver_team")
    }
    found = []
    for place in environments(actor):
        policy = current.get(place.pk)
        if policy is not None:
            team = policy.approver_team.name if policy.approver_team else ""
            found.append((place, policy.version, policy_sentences(rules_of(policy), approver_team=team)))
    return found
