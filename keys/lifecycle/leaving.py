"""Settle what a person leaves behind: name who receives a key's secrets from now on, and tell what of theirs still works."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import KeyRecipientChanged
from keys.lifecycle.facts import key_facts
from keys.lifecycle.rotation_course import begin, leave, prepare, refuse_if_it_cannot_rotate
from keys.lifecycle.rotation_steps import open_rotation, plan_of
from keys.lifecycle.transitions import locked_key, locked_versions
from keys.models import Approval, KeyVersion, ManagedKey, Membership, Person
from keys.models.keys import ManagedKeyQuerySet
from keys.operations import operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_name_recipient
from keys.states import RotationCause, RotationState


@operation(grants="always")
def name_recipient(key: ManagedKey, *, recipient: Person, actor: Actor, rotate: bool = False) -> ManagedKey:
    """Let another member of the owner team claim the next secrets; `rotate`: the next one waits at once, because the last
    recipient knows the present one."""
    key = locked_key(key)
    versions = locked_versions(key)
    rotation = open_rotation(key)
    at = clock.now()
    who = standing_of(actor, at=at)
    enforce(may_name_recipient(actor, who, key_facts(key), at=at, recipient_id=recipient.pk))
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    if recipient.pk == key.recipient_id:
        raise Invalid.field("recipient", "recipient_already")
    if not Membership.objects.living().filter(team=key.owner_team, person=recipient, person__is_active=True).exists():
        raise Invalid.field("recipient", "not_in_owner_team")
    if Approval.objects.standing().of_key(key.pk).given_by(recipient).exists():
        raise Invalid.field("recipient", "recipient_approved")  # who approved a key never holds it (invariant 7)
    key = update(
        key,
        KeyRecipientChanged,
        actor=actor,
        at=at,
        expected={"recipient_id": key.recipient_id, "revoked_at": None},
        columns={"recipient_id": recipient.pk},
        environment=key.environment.tag,
    )
    if not rotate:
        return key
    refuse_if_it_cannot_rotate(key, versions, at=at)
    if rotation is not None and rotation.state == RotationState.SCHEDULED:
        prepare(rotation, versions, actor=actor, at=at, columns={"cause": str(RotationCause.LEAVER)})
        return key
    if rotation is not None:
        leave(rotation, actor=actor, at=at)
    begin(key, versions, cause=RotationCause.LEAVER, overlap=plan_of(key)[0], actor=actor, at=at)
    return key


@dataclass(frozen=True, kw_only=True)
class LeftKey:
    """A key that a person who leaves still has to do with."""

    key: ManagedKey
    receives: bool  # its next secrets would be theirs
    known: list[KeyVersion]  # secrets they were shown that still work, or would again


def left_by(rows: ManagedKeyQuerySet, person_id: UUID, *, at: datetime) -> ManagedKeyQuerySet:
    """Those of `rows` of which this person receives the secrets, or knows one that lives. None left: nothing they knew works."""
    known = KeyVersion.objects.living(at).filter(managed_key=OuterRef("pk"), claimed_by_id=person_id)
    open_keys = rows.filter(revoked_at=None, authorised_until__gt=at)
    return open_keys.filter(Q(recipient_id=person_id) | Exists(known))


def what_is_left(rows: ManagedKeyQuerySet, person_id: UUID, *, at: datetime) -> list[LeftKey]:
    """The hand-over plan: each key with what is still to be done about it."""
    keys = left_by(rows, person_id, at=at).select_related("environment", "service", "owner_team", "recipient")
    found = list(keys.order_by("number"))
    known: dict[UUID, list[KeyVersion]] = {key.pk: [] for key in found}
    for version in KeyVersion.objects.living(at).filter(managed_key__in=known, claimed_by_id=person_id):
        known[version.managed_key_id].append(version)
    return [LeftKey(key=key, receives=key.recipient_id == person_id, known=known[key.pk]) for key in found]


def leavers(rows: ManagedKeyQuerySet, *, at: datetime) -> list[Person]:
    """The people without a place here who still have to do with one of `rows`."""
    open_keys = rows.filter(revoked_at=None, authorised_until__gt=at)
    known = KeyVersion.objects.living(at).filter(managed_key__in=open_keys.values("pk"))
    ids: Iterable[UUID | None] = [
        *open_keys.filter(recipient__is_active=False).values_list("recipient_id", flat=True),
        *known.filter(claimed_by__is_active=False).values_list("claimed_by_id", flat=True),
    ]
    return list(Person.objects.filter(pk__in=set(ids), is_active=False).order_by("name", "pk"))
