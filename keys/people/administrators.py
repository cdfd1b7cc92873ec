"""Make the first administrator, and let the last one back in: from the server's shell, loud and on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from audit import clock
from audit.actor import Actor, ActorKind
from audit.log import record
from keys import text
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Denied, NotFound
from keys.events import PersonInvited, RecoveryLinkOrdered
from keys.models import Invitation, Person
from keys.operations import insert, locked, operation
from keys.people.facts import able_administrators, lock_administrators
from keys.people.invitations import make_invitation_link, open_invitation
from keys.states import InvitationPurpose, Role

RECOVERY_PERIOD = timedelta(hours=1)
NO_ADDRESS = "admin@localhost.localdomain"  # where no mail leaves the machine


@dataclass(frozen=True, kw_only=True)
class FirstAdministrator:
    """The one-time link of the first administrator, shown once."""

    person: Person
    link: Secret


def _enforce_shell(actor: Actor) -> None:
    if actor.kind not in (ActorKind.OPERATOR, ActorKind.SYSTEM):
        raise Denied("shell_only", rule="administrators.shell")


@operation
def invite_first_administrator(email: str | None, *, actor: Actor, name: str) -> FirstAdministrator | None:
    """Invite the first administrator; None when one can sign in already. Run again, it voids the former link.

    Nobody changes an address later. Where `email` is None, it is that of who was invited before, or one that no mail reaches.
    """
    _enforce_shell(actor)
    address = text.canonical_email(NO_ADDRESS if email is None else email)
    shown = text.line(name, "name", most=120)
    lock_administrators()
    at = clock.now()
    if able_administrators().exists():
        return None
    person = Person.objects.filter(is_active=True, roles__contains=[str(Role.ADMINISTRATOR)]).first()
    if person is None:
        if Person.objects.filter(email=address).exists():
            raise Conflict("person_exists")
        person = Person(email=address, name=shown, roles=[str(Role.ADMINISTRATOR)], created_at=at)
        person.set_unusable_password()
        insert(person, PersonInvited, actor=actor, at=at)
    elif email is not None and person.email != address:
        raise Conflict("first_administrator_waits", email=person.email)
    invitation = open_invitation(person, actor=actor, at=at, purpose=_purpose_for(person))
    return FirstAdministrator(person=person, link=make_invitation_link(invitation, actor=actor))


def _purpose_for(person: Person) -> InvitationPurpose:
    """Whoever accepted once and never enrolled a factor starts over."""
    joined = Invitation.objects.filter(person=person, accepted_at__isnull=False).exists()
    return InvitationPurpose.RECOVERY if joined else InvitationPurpose.JOIN


@operation
def order_recovery(email: str, *, actor: Actor, reason: str, even_so: bool = False) -> Secret:
    """Order a link that replaces an administrator's password and factors; they change only when it is used.

    Refused while another administrator could reset the factors in the ordinary way, unless `even_so`.
    """
    _enforce_shell(actor)
    address = text.canonical_email(email)
    why = text.line(reason, "reason", most=200, least=10)
    lock_administrators()
    found = Person.objects.filter(email=address, roles__contains=[str(Role.ADMINISTRATOR)]).first()
    if found is None:
        raise NotFound
    person = locked(found)
    at = clock.now()
    if not person.is_active:
        raise Conflict("person_not_active")
    others = able_administrators().exclude(pk=person.pk).count()
    if others and not even_so:
        raise Conflict("another_administrator_can", others=others)
    record(RecoveryLinkOrdered(target_id=str(person.pk), reason=why, other_administrators=others), actor=actor, at=at)
    invitation = open_invitation(person, actor=actor, at=at, purpose=InvitationPurpose.RECOVERY, period=RECOVERY_PERIOD)
    return make_invitation_link(invitation, actor=actor)
