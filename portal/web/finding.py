"""Find what an address names, or answer as if it did not exist; know people and teams by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar
from uuid import UUID

from audit.actor import Actor
from keys.errors import NotFound
from keys.models import (
    Environment,
    KeyRequest,
    KeyTransfer,
    KeyVersion,
    ManagedKey,
    Membership,
    Person,
    Rotation,
    Service,
    Team,
)
from keys.states import TeamRole

Row = TypeVar("Row")
MOST_ROTATIONS = 50


def key_by_number(number: int, *, actor: Actor) -> ManagedKey:
    """Find a key that the actor may see."""
    rows = ManagedKey.objects.visible_to(actor).select_related(
        "service__owner_team", "environment", "owner_team", "recipient", "policy", "request", "verifies_service"
    )
    return _found(rows.filter(number=number).first())


def offered_key(number: int, *, actor: Actor) -> ManagedKey:
    """Find a key that the actor may see, or that is offered to a team of theirs: whoever is to accept sees what it is."""
    transfer = (
        KeyTransfer.objects.visible_to(actor)
        .filter(managed_key__number=number, decided_at=None)
        .select_related(
            "managed_key__service", "managed_key__environment", "managed_key__owner_team", "managed_key__recipient"
        )
        .first()
    )
    return key_by_number(number, actor=actor) if transfer is None else transfer.managed_key


def request_by_number(number: int, *, actor: Actor) -> KeyRequest:
    """Find a request that the actor may see."""
    rows = KeyRequest.objects.visible_to(actor).select_related(
        "service__owner_team", "environment", "owner_team", "requester", "requested_by_key", "recipient", "renews"
    )
    return _found(rows.filter(number=number).first())


def service_by_slug(slug: str, *, actor: Actor) -> Service:
    """Find a service of the catalogue."""
    return _found(Service.objects.visible_to(actor).select_related("owner_team").filter(slug=slug).first())


def team_by_slug(slug: str, *, actor: Actor) -> Team:
    """Find a team."""
    return _found(Team.objects.visible_to(actor).filter(slug=slug).first())


def open_transfer(key: ManagedKey, *, actor: Actor) -> KeyTransfer | None:
    """Find the offer of a key that waits for an answer or has just lapsed."""
    rows = KeyTransfer.objects.visible_to(actor).select_related("from_team", "to_team", "offered_by")
    return rows.filter(managed_key=key, decided_at=None).first()


def rotations_of(key: ManagedKey, *, actor: Actor) -> list[Rotation]:
    """List the replacements of a key's secret, the latest first."""
    rows = Rotation.objects.visible_to(actor).filter(managed_key=key).select_related("old_version", "new_version")
    found = list(rows.order_by("-created_at", "-id")[:MOST_ROTATIONS])
    for rotation in found:
        rotation.managed_key = key  # with all that was read of it
    return found


def open_rotation_of(key: ManagedKey, *, actor: Actor) -> Rotation | None:
    """Find the rotation that is under way or has its date."""
    return next((each for each in rotations_of(key, actor=actor) if each.ended_at is None), None)


def rotating_versions(ids: Iterable[UUID], *, actor: Actor) -> set[UUID | None]:
    """Of these versions, those that replace a secret that was handed over before."""
    rows = Rotation.objects.visible_to(actor).filter(new_version__in=list(ids), old_version__isnull=False)
    return set(rows.values_list("new_version", flat=True))


def stopped_keys(ids: Iterable[UUID], *, actor: Actor) -> set[UUID]:
    """Of these keys, those that somebody stopped on purpose: nothing of them is replaced for now."""
    rows = KeyVersion.objects.visible_to(actor).stopped_on_purpose().filter(managed_key__in=list(ids))
    return set(rows.values_list("managed_key", flat=True))


def environments(actor: Actor) -> list[Environment]:
    """List the environments, the least dangerous first."""
    return sorted(Environment.objects.visible_to(actor), key=lambda row: ("dev", "test", "prod").index(row.tag))


def teams_of(actor: Actor) -> list[Team]:
    """List the teams that a person belongs to."""
    mine = Membership.objects.visible_to(actor).living().filter(person_id=actor.id).values("team_id")
    return list(Team.objects.visible_to(actor).living().filter(pk__in=mine))


def teams_led_by(actor: Actor) -> list[Team]:
    """List the teams that a person leads."""
    led = Membership.objects.visible_to(actor).living().filter(person_id=actor.id, roles__contains=[str(TeamRole.LEAD)])
    return list(Team.objects.visible_to(actor).living().filter(pk__in=led.values("team_id")))


def members_of(teams: Iterable[Team], *, actor: Actor) -> dict[Team, list[Person]]:
    """List the living members of teams, by team."""
    found: dict[Team, list[Person]] = {team: [] for team in teams}
    by_id = {team.pk: team for team in found}
    rows = Membership.objects.visible_to(actor).living().filter(team__in=found).select_related("person")
    for row in rows.order_by("person__name", "id"):
        found[by_id[row.team_id]].append(row.person)
    return found


def names_of(people: Iterable[str], *, actor: Actor) -> Mapping[str, str]:
    """Give the names of people by their ids in text; who is not known is left out."""
    wanted = {UUID(each) for each in people if _is_uuid(each)}
    return {
        str(pk): name for pk, name in Person.objects.visible_to(actor).filter(pk__in=wanted).values_list("pk", "name")
    }


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _found(row: Row | None) -> Row:
    if row is None:
        raise NotFound
    return row
