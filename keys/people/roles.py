"""Change what a person does for the whole organisation, their name, and whether they have a place at all."""

from __future__ import annotations

from collections.abc import Collection

from audit import clock
from audit.actor import Actor
from keys import text
from keys.errors import Conflict
from keys.events import (
    ApprovalVoided,
    DelegationEnded,
    PersonChanged,
    PersonDeactivated,
    PersonReactivated,
    PersonRolesChanged,
)
from keys.models import Approval, Delegation, Person
from keys.operations import locked, operation, refuse_if_log_is_behind, update
from keys.people.calendar_feeds import remove_feeds_of
from keys.people.facts import lock_administrators, person_facts
from keys.people.invitations import end_invitations_of, known_roles
from keys.people.sessions import end_sessions_of, rotate_sessions_of
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.people_rules import may_change_roles, may_deactivate, may_reactivate, may_rename
from keys.states import OPEN_REQUEST_STATES, Role


@operation(grants="sometimes")
def change_roles(person: Person, *, actor: Actor, roles: Collection[str]) -> Person:
    """Set the organisation roles of somebody else. Their sessions get a new key and lose their step-ups."""
    wanted = known_roles(roles)
    lock_administrators()
    person = locked(person)
    at = clock.now()
    enforce(
        may_change_roles(actor, standing_of(actor, at=at), person_facts(person), [Role(role) for role in wanted], at=at)
    )
    if sorted(person.roles) == wanted:
        return person
    if set(wanted) - set(person.roles):
        refuse_if_log_is_behind()
    changed = update(
        person,
        PersonRolesChanged,
        actor=actor,
        at=at,
        expected={"roles": person.roles, "is_active": person.is_active},
        columns={"roles": wanted},
    )
    rotate_sessions_of(person.pk, actor=actor, at=at)
    return changed


@operation
def rename_person(person: Person, *, actor: Actor, name: str) -> Person:
    """Change the name by which colleagues know a person."""
    person = locked(person)
    at = clock.now()
    shown = text.line(name, "name", most=120)
    enforce(may_rename(actor, standing_of(actor, at=at), person_facts(person), at=at))
    if person.erased_at is not None:
        raise Conflict("person_erased")
    return update(person, PersonChanged, actor=actor, at=at, columns={"name": shown})


@operation
def deactivate_person(person: Person, *, actor: Actor) -> Person:
    """End a person's place: sessions, invitations, calendar addresses, delegations and undecided approvals end with it.

    Their keys are found by the dispatcher, which reads this event and asks the owner teams for another recipient.
    """
    lock_administrators()
    person = locked(person)
    at = clock.now()
    enforce(may_deactivate(actor, standing_of(actor, at=at), person_facts(person), at=at))
    if not person.is_active:
        raise Conflict("person_not_active")
    changed = update(
        person,
        PersonDeactivated,
        actor=actor,
        at=at,
        expected={"is_active": True},
        columns={"is_active": False, "deactivated_at": at},
    )
    end_sessions_of(person.pk, actor=actor, at=at)
    end_invitations_of(person, actor=actor, at=at)
    remove_feeds_of(person, actor=actor, at=at)
    pending = Approval.objects.standing().filter(request__state__in=OPEN_REQUEST_STATES)
    for approval in [*pending.filter(person=person), *pending.filter(seat=person).exclude(person=person)]:
        update(approval, ApprovalVoided, actor=actor, at=at, expected={"voided_at": None}, columns={"voided_at": at})
    held = Delegation.objects.filter(ended_at=None, ends_at__gt=at)
    for delegation in [*held.filter(person=person), *held.filter(delegate=person)]:
        update(delegation, DelegationEnded, actor=actor, at=at, expected={"ended_at": None}, columns={"ended_at": at})
    return changed


@operation(grants="always")
def reactivate_person(person: Person, *, actor: Actor) -> Person:
    """Give a place back. Password and factors are as they were; roles stay as they stand."""
    person = locked(person)
    at = clock.now()
    enforce(may_reactivate(actor, standing_of(actor, at=at), person_facts(person), at=at))
    if person.is_active:
        raise Conflict("person_active")
    if person.erased_at is not None:
        raise Conflict("person_erased")
    return update(
        person,
        PersonReactivated,
        actor=actor,
        at=at,
        expected={"is_active": False},
        columns={"is_active": True, "deactivated_at": None},
    )
