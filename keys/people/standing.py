"""Read who an actor is now: roles, teams and the seats they may decide from."""

from __future__ import annotations

import functools
from collections import defaultdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery

from audit.actor import Actor, ActorKind
from keys.models import Delegation, ManagedKey, Membership, Person
from keys.policy.facts import ActorFacts
from keys.prepared import LaterId, LaterIds, LaterInstant, Prepared
from keys.states import Role, TeamRole

Roles = dict[UUID, frozenset[TeamRole]]


def standing_of(actor: Actor, *, at: datetime) -> ActorFacts:
    """The facts rules need about `actor`, from the database: what was true at sign-in may no longer be."""
    if actor.kind == ActorKind.PERSON:
        return standing_of_person(UUID(actor.id), at=at)
    if actor.kind == ActorKind.PROGRAM:
        return _program(UUID(actor.id), at=at)
    return ActorFacts(active=True, operator=True)


def standing_of_person(person_id: UUID, *, at: datetime) -> ActorFacts:
    """The facts of a person, whoever asks."""
    found = _who().run(person=person_id, at=at)
    if not found:
        return ActorFacts(person_id=person_id)
    own, absent = found[0]
    seats: dict[UUID, Roles] = {seat: {} for seat in (person_id, *absent)}
    for seat, team_id, roles in _memberships().run(seats=list(seats)):
        seats[seat][team_id] = frozenset(map(TeamRole, roles))
    return ActorFacts(
        person_id=person_id,
        active=True,
        roles=frozenset(map(Role, own)),
        teams=seats[person_id],
        seats=seats,
    )


# Every page and every operation asks both, so they are written once (decision 111). Any: a query takes what comes later too.
@functools.cache
def _who() -> Prepared:
    at: Any = LaterInstant("at")
    absent = Delegation.objects.in_force(at).filter(delegate_id=LaterId("person")).values("person_id")
    living = Person.objects.filter(pk=LaterId("person"), is_active=True)
    return Prepared(living.annotate(absent=ArraySubquery(absent)).values_list("roles", "absent"))


@functools.cache
def _memberships() -> Prepared:
    rows = Membership.objects.living().filter(person_id__in=LaterIds("seats"))
    return Prepared(rows.values_list("person_id", "team_id", "roles"))


def _program(key_id: UUID, *, at: datetime) -> ActorFacts:
    key = ManagedKey.objects.living(at).filter(pk=key_id).first()
    if key is None:
        return ActorFacts(key_id=key_id)
    return ActorFacts(
        key_id=key_id,
        active=True,
        environment_id=key.environment_id,
        teams={key.owner_team_id: frozenset()},
        scopes=frozenset(key.scopes),
    )


def approvers_by_side(
    *, service_team_id: UUID, approver_team_id: UUID | None, excluded: set[UUID | None]
) -> dict[str, list[Person]]:
    """Who can approve: "service" (from the service's team) and "named" (from the group the policy names)."""
    sides: dict[str, list[Person]] = defaultdict(list)
    wanted = {service_team_id: "service"} | ({approver_team_id: "named"} if approver_team_id else {})
    rows = (
        Membership.objects.living()
        .filter(team_id__in=wanted, roles__contains=[str(TeamRole.APPROVER)])
        .select_related("person")
        .order_by("person__name")
    )
    for row in rows:
        side = "service" if row.team_id == service_team_id else "named"
        if row.person_id not in excluded:
            sides[side].append(row.person)
    return dict(sides)
