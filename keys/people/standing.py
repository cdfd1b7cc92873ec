"""Read who an actor is now: roles, teams and the seats they may decide from."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery

from audit.actor import Actor, ActorKind
from keys.models import Delegation, ManagedKey, Membership, Person
from keys.policy.facts import ActorFacts
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
    absent = Delegation.objects.in_force(at).filter(delegate_id=person_id).values("person_id")
    person = Person.objects.filter(pk=person_id, is_active=True).annotate(absent=ArraySubquery(absent)).first()
    if person is None:
        return ActorFacts(person_id=person_id)
    seats: dict[UUID, Roles] = {seat: {} for seat in (person_id, *person.absent)}
    rows = Membership.objects.living().filter(person_id__in=seats).values_list("person_id", "team_id", "roles")
    for seat, team_id, roles in rows:
        seats[seat][team_id] = frozenset(map(TeamRole, roles))
    return ActorFacts(
        person_id=person_id,
        active=True,
        roles=frozenset(map(Role, person.roles)),
        teams=seats[person_id],
        seats=seats,
    )


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
