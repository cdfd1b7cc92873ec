"""Form, change and retire teams, and say who does what in them."""

from __future__ import annotations

from collections.abc import Collection

from audit import clock
from audit.actor import Actor
from keys import text
from keys.errors import Conflict, Invalid
from keys.events import MemberAdded, MemberRemoved, MemberRolesChanged, TeamChanged, TeamCreated, TeamRetired
from keys.models import KeyRequest, ManagedKey, Membership, Person, Service, Team
from keys.operations import insert, locked, operation, refuse_if_log_is_behind, update
from keys.people.sessions import rotate_sessions_of
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.people_rules import may_change_membership
from keys.policy.rules import may_administer
from keys.states import TeamRole


@operation
def create_team(slug: str, *, actor: Actor, name: str, description: str = "") -> Team:
    """Form a team."""
    at = clock.now()
    enforce(may_administer(actor, standing_of(actor, at=at), purpose="people", at=at))
    short = text.slug(slug)
    shown = text.line(name, "name", most=120)
    words = text.line(description, "description", most=500, least=0)
    if Team.objects.filter(slug=short).exists():
        raise Invalid.field("slug", "taken")
    return insert(Team(slug=short, name=shown, description=words, created_at=at), TeamCreated, actor=actor, at=at)


@operation
def change_team(team: Team, *, actor: Actor, name: str, description: str = "") -> Team:
    """Change a team's name or description; its slug is how others refer to it and stays."""
    team = locked(team)
    at = clock.now()
    enforce(may_administer(actor, standing_of(actor, at=at), purpose="people", at=at))
    shown = text.line(name, "name", most=120)
    words = text.line(description, "description", most=500, least=0)
    return update(
        team,
        TeamChanged,
        actor=actor,
        at=at,
        expected={"retired_at": None},
        columns={"name": shown, "description": words},
    )


@operation
def retire_team(team: Team, *, actor: Actor) -> None:
    """End a team that owns no living service or key and has no open request; its memberships end with it."""
    team = locked(team)
    at = clock.now()
    enforce(may_administer(actor, standing_of(actor, at=at), purpose="people", at=at))
    if Service.objects.living().filter(owner_team=team).exists():
        raise Conflict("team_owns_services")
    if ManagedKey.objects.living(at).filter(owner_team=team).exists():
        raise Conflict("team_owns_keys")
    if KeyRequest.objects.open(at).filter(owner_team=team).exists():
        raise Conflict("team_has_requests")
    update(team, TeamRetired, actor=actor, at=at, expected={"retired_at": None}, columns={"retired_at": at})
    for membership in Membership.objects.filter(team=team, ended_at=None):
        update(membership, MemberRemoved, actor=actor, at=at, expected={"ended_at": None}, columns={"ended_at": at})


def _known_team_roles(roles: Collection[str]) -> list[TeamRole]:
    try:
        return sorted({TeamRole(role) for role in roles})
    except ValueError as unknown:
        raise Invalid.field("roles", "unknown_role") from unknown


@operation(grants="always")
def add_member(team: Team, *, actor: Actor, person: Person, roles: Collection[str]) -> Membership:
    """Let a person join a team with these roles; their sessions get a new key and lose their step-ups."""
    wanted = _known_team_roles(roles)
    team = locked(team)
    person = locked(person)
    at = clock.now()
    enforce(
        may_change_membership(
            actor, standing_of(actor, at=at), team_id=team.pk, person_id=person.pk, added=wanted, at=at
        )
    )
    if not wanted:
        raise Invalid.field("roles", "required")
    if team.retired_at is not None:
        raise Conflict("team_retired")
    if not person.is_active:
        raise Conflict("person_not_active")
    if Membership.objects.filter(team=team, person=person, ended_at=None).exists():
        raise Conflict("already_member")
    membership = Membership(team=team, person=person, roles=[str(role) for role in wanted], created_at=at)
    insert(membership, MemberAdded, actor=actor, at=at)
    rotate_sessions_of(person.pk, actor=actor, at=at)
    return membership


@operation(grants="sometimes")
def change_member_roles(membership: Membership, *, actor: Actor, roles: Collection[str]) -> Membership:
    """Change what a member does; their sessions get a new key and lose their step-ups."""
    wanted = _known_team_roles(roles)
    membership = locked(membership)
    at = clock.now()
    added = {role for role in wanted if str(role) not in membership.roles}
    enforce(
        may_change_membership(
            actor,
            standing_of(actor, at=at),
            team_id=membership.team_id,
            person_id=membership.person_id,
            added=added,
            at=at,
        )
    )
    if not wanted:
        raise Invalid.field("roles", "required")
    if added:
        refuse_if_log_is_behind()
    changed = update(
        membership,
        MemberRolesChanged,
        actor=actor,
        at=at,
        expected={"ended_at": None, "roles": membership.roles},
        columns={"roles": [str(role) for role in wanted]},
    )
    rotate_sessions_of(membership.person_id, actor=actor, at=at)
    return changed


@operation
def end_membership(membership: Membership, *, actor: Actor) -> None:
    """Let a person leave a team."""
    membership = locked(membership)
    at = clock.now()
    enforce(
        may_change_membership(
            actor,
            standing_of(actor, at=at),
            team_id=membership.team_id,
            person_id=membership.person_id,
            added=(),
            at=at,
        )
    )
    update(membership, MemberRemoved, actor=actor, at=at, expected={"ended_at": None}, columns={"ended_at": at})
    rotate_sessions_of(membership.person_id, actor=actor, at=at)
