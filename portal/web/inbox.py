"""List what waits for this person's decision, the riskiest and oldest first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit import clock
from audit.actor import Actor
from keys.approvals.content import Content, content_of
from keys.approvals.difference import risk_weight
from keys.approvals.quorum import APPROVING
from keys.models import Approval, KeyRequest, Scope
from keys.models.reach import reach_of
from keys.states import EnvironmentClass, Risk
from portal.web.doors import page
from portal.web.filters import environment_choice, is_filtered

MOST = 200


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One request that waits, with what sorts it."""

    request: KeyRequest
    content: Content
    scopes: Sequence[Scope]
    worst: Risk
    weight: int
    given: int


@page
def inbox(http: HttpRequest, actor: Actor) -> HttpResponse:
    """Show what waits for a decision of this person, or of somebody they stand in for."""
    at = clock.now()
    rows = (
        KeyRequest.objects.visible_to(actor)
        .awaiting(UUID(actor.id), reach_of(actor).seats, at)
        .select_related("service", "environment", "owner_team", "requester", "requested_by_key", "policy")
    )
    choices = [environment_choice(http, actor)]
    if choices[0].chosen:
        rows = rows.filter(environment__tag=choices[0].chosen)
    found = list(rows.order_by("created_at")[:MOST])
    waiting = sorted(_waiting(found, actor=actor), key=lambda each: (-each.weight, each.request.created_at))
    context = {
        "waiting": waiting,
        "choices": choices,
        "is_filtered": is_filtered("", choices),
        "is_cut": len(found) == MOST,
    }
    return render(http, "web/inbox.html", context)


def _waiting(rows: Sequence[KeyRequest], *, actor: Actor) -> list[Waiting]:
    scopes: dict[tuple[UUID, str], Scope] = {
        (scope.service_id, scope.name): scope
        for scope in Scope.objects.visible_to(actor).filter(service__in={row.service_id for row in rows})
    }
    given: dict[UUID, int] = defaultdict(int)
    counted = Approval.objects.visible_to(actor).standing().filter(request__in=rows, decision__in=APPROVING)
    given.update(counted.values_list("request_id").annotate(Count("pk")))
    return [_one(row, scopes, given[row.pk]) for row in rows]


def _one(request: KeyRequest, scopes: dict[tuple[UUID, str], Scope], given: int) -> Waiting:
    content = content_of(request.content)
    asked = [scopes[request.service_id, name] for name in content.scopes if (request.service_id, name) in scopes]
    order = list(Risk)
    return Waiting(
        request=request,
        content=content,
        scopes=asked,
        worst=max((Risk(scope.risk) for scope in asked), key=order.index, default=Risk.LOW),
        weight=risk_weight(
            asked,
            EnvironmentClass(request.environment.environment_class),
            authorised_days=content.authorised_days,
        ),
        given=given,
    )
