"""Give people a place: invite, make the link when it is shown or sent, and let it be taken once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from audit import clock
from audit.actor import Actor, ActorKind
from audit.log import record
from keys import text
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Invalid, NotFound
from keys.events import (
    InvitationAccepted,
    InvitationCreated,
    InvitationLinkMade,
    InvitationRevoked,
    PasswordChosen,
    PersonInvited,
)
from keys.models import Invitation, Person
from keys.operations import insert, locked, operation, update
from keys.people import links
from keys.people.factors import remove_all_factors
from keys.people.facts import ever_had_factor, has_factor
from keys.people.passwords import LONGEST_PASSWORD, accepted_password, canonical_password, store_password
from keys.people.sessions import end_sessions_of
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.people_rules import may_invite
from keys.states import InvitationPurpose, Role

INVITATION_PERIOD = timedelta(hours=72)


@dataclass(frozen=True, kw_only=True)
class Invited:
    """A person with their place, and the invitation to take it."""

    person: Person
    invitation: Invitation


def known_roles(roles: Collection[str]) -> list[str]:
    """Sort and check the names of organisation roles."""
    unknown = set(map(str, roles)) - {str(role) for role in Role}
    if unknown:
        raise Invalid.field("roles", "unknown_role")
    return sorted(set(map(str, roles)))


@operation(grants="always")
def invite_person(email: str, *, actor: Actor, name: str, roles: Collection[str] = ()) -> Invited:
    """Give a new person a place. The link is made later, by whoever shows or sends it."""
    at = clock.now()
    address = text.canonical_email(email)
    shown = text.line(name, "name", most=120)
    wanted = known_roles(roles)
    enforce(may_invite(actor, standing_of(actor, at=at), at=at))
    if Person.objects.filter(email=address).exists():
        raise Invalid.field("email", "person_exists")
    person = Person(email=address, name=shown, roles=wanted, created_at=at)
    person.set_unusable_password()
    insert(person, PersonInvited, actor=actor, at=at)
    return Invited(person=person, invitation=open_invitation(person, actor=actor, at=at))


@operation
def invite_again(person: Person, *, actor: Actor) -> Invitation:
    """Give somebody who never finished a fresh invitation; an older unused one ends.

    Whoever has joined once proves the password they chose: one administrator alone never opens the place of another,
    also not after two have reset its factors.
    """
    person = locked(person)
    at = clock.now()
    enforce(may_invite(actor, standing_of(actor, at=at), at=at))
    if not person.is_active:
        raise Conflict("person_not_active")
    if has_factor(person.pk):
        raise Conflict("person_has_joined")
    has_joined = person.has_usable_password() or ever_had_factor(person.pk)
    purpose = InvitationPurpose.FACTORS if has_joined else InvitationPurpose.JOIN
    return open_invitation(person, actor=actor, at=at, purpose=purpose)


@operation
def revoke_invitation(invitation: Invitation, *, actor: Actor) -> None:
    """End an unused invitation."""
    invitation = locked(invitation)
    at = clock.now()
    enforce(may_invite(actor, standing_of(actor, at=at), at=at))
    if invitation.accepted_at is not None or invitation.revoked_at is not None:
        raise Conflict("invitation_used")
    _revoke(invitation, actor=actor, at=at)


def open_invitation(
    person: Person,
    *,
    actor: Actor,
    at: datetime,
    purpose: InvitationPurpose = InvitationPurpose.JOIN,
    period: timedelta = INVITATION_PERIOD,
) -> Invitation:
    """Write an invitation inside an operation that decided about it; an older unused one ends."""
    end_invitations_of(person, actor=actor, at=at)
    invited_by = UUID(actor.id) if actor.kind == ActorKind.PERSON else None
    invitation = Invitation(
        person=person, purpose=str(purpose), invited_by_id=invited_by, created_at=at, expires_at=at + period
    )
    return insert(invitation, InvitationCreated, actor=actor, at=at, person=str(person.pk))


def end_invitations_of(person: Person, *, actor: Actor, at: datetime) -> None:
    """End every unused invitation of a person, inside an operation that decided so."""
    for older in Invitation.objects.unused().filter(person=person).select_for_update(of=("self",)):
        _revoke(older, actor=actor, at=at)


def _revoke(invitation: Invitation, *, actor: Actor, at: datetime) -> None:
    update(
        invitation,
        InvitationRevoked,
        actor=actor,
        at=at,
        expected={"accepted_at": None, "revoked_at": None},
        columns={"revoked_at": at},
        person=str(invitation.person_id),
    )


@operation
def make_invitation_link(invitation: Invitation, *, actor: Actor) -> Secret:
    """Make the link for the page or mail that is about to show it; an earlier link to the same place is void.

    For an administrator (with presence), the shell, and the sender of mail (a job).
    """
    invitation = locked(invitation)
    at = clock.now()
    enforce(may_invite(actor, standing_of(actor, at=at), at=at))
    if not Invitation.objects.open(at).filter(pk=invitation.pk).exists():
        raise Conflict("invitation_over")
    token = links.new_token()
    Invitation.objects.filter(pk=invitation.pk).update(
        link_hash=links.hash_of(token, purpose=links.INVITATION), link_made_at=at
    )
    record(InvitationLinkMade(target_id=str(invitation.pk), person=str(invitation.person_id)), actor=actor, at=at)
    return links.link_of(token, purpose=links.INVITATION)


def find_invitation(token: str, *, at: datetime) -> Invitation | None:
    """Return the open invitation of a presented link, or None for anything else."""
    hashes = links.hashes_of(token, purpose=links.INVITATION)
    return Invitation.objects.open(at).filter(link_hash__in=hashes).select_related("person").first() if hashes else None


@operation
def accept_invitation(invitation: Invitation, token: str, *, actor: Actor, password: str) -> Person:
    """Take the place of an invitation, once, with a password; every session of the person ends.

    After a reset of factors the password is not chosen but proved: a mailed link alone opens nothing.
    """
    invitation = locked(invitation)
    at = clock.now()
    found = find_invitation(token, at=at)
    if found is None or found.pk != invitation.pk:
        raise NotFound
    person = locked(invitation.person)
    update(
        invitation,
        InvitationAccepted,
        actor=actor,
        at=at,
        expected={"accepted_at": None, "revoked_at": None},
        columns={"accepted_at": at},
        person=str(person.pk),
    )
    if invitation.purpose == InvitationPurpose.FACTORS:
        if not person.check_password(canonical_password(password)[:LONGEST_PASSWORD]):
            raise Invalid.field("password", "wrong_password")
    else:
        store_password(person, accepted_password(password, person))
        record(PasswordChosen(target_id=str(person.pk)), actor=actor, at=at)
    if invitation.purpose == InvitationPurpose.RECOVERY:
        remove_all_factors(person, actor=actor, at=at)
    end_sessions_of(person.pk, actor=actor, at=at)
    return person
