"""Read what the rules about people need to know."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from keys.models import Invitation, Passkey, Person, TotpDevice
from keys.policy.people_rules import PersonFacts
from keys.states import Role

# Who accepted an invitation has this long to enrol the first factor, also after a lost connection.
ENROLMENT_PERIOD = timedelta(hours=1)


def able_administrators() -> QuerySet[Person]:
    """The administrators who could act now: active, and with a factor to sign in with."""
    administrators: QuerySet[Person] = Person.objects.filter(is_active=True, roles__contains=[str(Role.ADMINISTRATOR)])
    return administrators.filter(
        Exists(TotpDevice.objects.usable().filter(user=OuterRef("pk")))
        | Exists(Passkey.objects.usable().filter(user=OuterRef("pk")))
    )


def lock_administrators() -> None:
    """Lock every administrator until the end of the transaction: two cannot remove each other at once."""
    list(
        Person.objects.filter(roles__contains=[str(Role.ADMINISTRATOR)])
        .order_by("pk")
        .select_for_update(no_key=True)
        .values_list("pk", flat=True)
    )


def person_facts(person: Person) -> PersonFacts:
    """The facts about a person whom an act is about."""
    is_administrator = Role.ADMINISTRATOR in person.roles
    return PersonFacts(
        person_id=person.pk,
        active=person.is_active,
        roles=frozenset(Role(role) for role in person.roles),
        is_last_administrator=is_administrator and not able_administrators().exclude(pk=person.pk).exists(),
    )


def usable_factors(person_id: UUID, *, but: UUID | None = None) -> int:
    """How many passkeys and authenticators of the person prove something, not counting the factor `but`."""
    apps = TotpDevice.objects.usable().filter(user_id=person_id)
    passkeys = Passkey.objects.usable().filter(user_id=person_id)
    if but is not None:
        apps, passkeys = apps.exclude(pk=but), passkeys.exclude(pk=but)
    return apps.count() + passkeys.count()


def has_factor(person_id: UUID) -> bool:
    """Whether the person has a passkey or an authenticator that proves something."""
    return usable_factors(person_id) > 0


def ever_had_factor(person_id: UUID) -> bool:
    """Whether the person ever enrolled a factor, even if it is gone."""
    return (
        TotpDevice.objects.filter(user_id=person_id, confirmed_at__isnull=False).exists()
        or Passkey.objects.filter(user_id=person_id).exists()
    )


def may_still_enrol(person_id: UUID, *, at: datetime) -> bool:
    """Whether an invitation was accepted so recently that its person may enrol a first factor."""
    return Invitation.objects.filter(person_id=person_id, accepted_at__gt=at - ENROLMENT_PERIOD).exists()
