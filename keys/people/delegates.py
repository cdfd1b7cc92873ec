"""Name a colleague who decides during an absence, and end that."""

from __future__ import annotations

from datetime import datetime

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import DelegateNamed, DelegationEnded
from keys.models import Delegation, Person
from keys.operations import insert, locked, operation, update
from keys.people.facts import person_facts
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.people_rules import may_end_delegation, may_name_delegate


@operation(grants="always")
def name_delegate(
    person: Person, *, actor: Actor, delegate: Person, starts_at: datetime, ends_at: datetime
) -> Delegation:
    """Let a colleague decide in one's place for a while; they still may not decide about themselves."""
    if starts_at.tzinfo is None or ends_at.tzinfo is None:
        raise Invalid.field("ends_at", "no_time_zone")
    person = locked(person)
    at = clock.now()
    enforce(
        may_name_delegate(
            actor,
            standing_of(actor, at=at),
            person_id=person.pk,
            delegate=person_facts(delegate),
            starts_at=starts_at,
            ends_at=ends_at,
            at=at,
        )
    )
    overlapping = Delegation.objects.filter(
        person=person, delegate=delegate, ended_at=None, starts_at__lt=ends_at, ends_at__gt=starts_at
    )
    if overlapping.exists():
        raise Conflict("already_delegate")
    row = Delegation(person=person, delegate=delegate, starts_at=starts_at, ends_at=ends_at, created_at=at)
    return insert(row, DelegateNamed, actor=actor, at=at)


@operation
def end_delegation(delegation: Delegation, *, actor: Actor) -> None:
    """End a delegation before its time: either side or an administrator may."""
    delegation = locked(delegation)
    at = clock.now()
    enforce(
        may_end_delegation(
            standing_of(actor, at=at), person_id=delegation.person_id, delegate_id=delegation.delegate_id
        )
    )
    if delegation.ended_at is not None or delegation.ends_at <= at:
        raise Conflict("delegation_over")
    update(delegation, DelegationEnded, actor=actor, at=at, expected={"ended_at": None}, columns={"ended_at": at})
