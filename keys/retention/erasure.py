"""Erase what is personal about somebody who has left: names and addresses in rows, private parts in the log, on record.

The payloads stay, with the person's identifier, which then names nobody. The receipt of an erasure is its own events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.db import models

from audit import clock
from audit.actor import Actor
from audit.governed import governed_of
from audit.keeping_events import PrivatePartErased
from audit.log import erase_private
from audit.models import WITHOUT_END, AuditEvent, AuditHold
from audit.retention import holds_in_force
from keys.errors import Conflict, Denied, Invalid
from keys.events import (
    ApprovalTextErased,
    FactorResetErased,
    PasskeyErased,
    PersonDeactivated,
    PersonErased,
    RequestTextErased,
    SavedSearchChanged,
    TotpErased,
    TransferTextErased,
)
from keys.models import (
    Approval,
    FactorReset,
    KeyRequest,
    KeyTransfer,
    Passkey,
    Person,
    SavedSearch,
    TotpDevice,
)
from keys.operations import locked, operation, update
from keys.people.factors import remove_all_factors
from keys.people.facts import person_facts
from keys.people.sessions import end_sessions_of
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.retention_rules import may_erase_person
from keys.retention.naming import Naming, events_naming, forget_ungoverned, naming_of

ERASED_NAME = "Erased person"
ERASED_TEXT = "[erased]"

# Rows with private texts: the event that tells of their erasure, and the column that makes a row the person's own.
TEXTS: tuple[tuple[type[models.Model], type, str], ...] = (
    (TotpDevice, TotpErased, "user_id"),
    (Passkey, PasskeyErased, "user_id"),
    (FactorReset, FactorResetErased, "person_id"),
    (SavedSearch, SavedSearchChanged, "person_id"),
    (KeyRequest, RequestTextErased, ""),
    (Approval, ApprovalTextErased, ""),
    (KeyTransfer, TransferTextErased, ""),
)


class ErasureReason(StrEnum):
    """Why, in the words of GDPR, article 17 (1)."""

    NO_LONGER_NEEDED = "no-longer-needed"
    CONSENT_WITHDRAWN = "consent-withdrawn"
    OBJECTION = "objection"
    UNLAWFUL = "unlawful"
    LEGAL_OBLIGATION = "legal-obligation"


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What an erasure did; `receipts` are the events that prove it once they are sealed."""

    person: Person
    parts: int
    texts: int
    receipts: tuple[UUID, ...]


@operation
def erase_person(person: Person, *, actor: Actor, reason: str) -> Erasure:
    """Replace name and address of a person who has no place any more, and delete the private part of every event that names them.

    Refused while one of these events is held: nothing is erased by halves.
    """
    person = locked(person)
    at = clock.now()
    who, facts = standing_of(actor, at=at), person_facts(person)
    enforce(may_erase_person(actor, who, facts, deactivated_by=_deactivated_by(person), at=at))
    if reason not in set(ErasureReason):
        raise Invalid.field("reason", "unknown_choice")
    if person.is_active:
        raise Conflict("person_still_active")
    if person.erased_at is not None:
        raise Conflict("person_erased")
    naming = naming_of(person)
    return _erase(person, naming, actor=actor, at=at, reason=reason)


def _deactivated_by(person: Person) -> str | None:
    """Name who ended the place of a person, the last time; None when the log does not hold it."""
    told = AuditEvent.objects.of_target("person", str(person.pk)).with_action(PersonDeactivated.action)
    last = told.newest_first().first()
    return None if last is None else f"{last.actor_type}:{last.actor_id}"


def erasures_of(person: Person) -> list[AuditEvent]:
    """Return the events that say what of a person was erased, the newest first: the receipts."""
    told = AuditEvent.objects.of_target("person", str(person.pk)).with_action(PrivatePartErased.action)
    return list(told.newest_first()[:50])


@operation
def erase_again(person: Person, *, actor: Actor) -> Erasure:
    """Do it again to a person who is back from a backup, because the log says that they were erased."""
    person = locked(person)
    at = clock.now()
    if actor.kind == "person" or not standing_of(actor, at=at).operator:
        raise Denied("shell_only", rule="erasure.again")
    naming = naming_of(person)
    # The backup may be older than the deactivation; the log knows better, and the same event ends the place.
    return _erase(person, naming, actor=actor, at=at, reason="restored")


def _erase(person: Person, naming: Naming, *, actor: Actor, at: datetime, reason: str) -> Erasure:
    remove_all_factors(person, actor=actor, at=at)
    end_sessions_of(person.pk, actor=actor, at=at)
    columns = {
        "email": f"erased-{person.pk}@erased.invalid",
        "name": ERASED_NAME,
        "password": make_password(None),
        "is_active": False,
        "deactivated_at": person.deactivated_at or at,
        "erased_at": at,
    }
    erased = update(
        person,
        PersonErased,
        actor=actor,
        at=at,
        expected={"erased_at": person.erased_at},
        columns=columns,
        forget=("email", "name"),
        reason=reason,
    )
    texts, own = _replace_texts(person, naming, actor=actor, at=at)
    uids, leaves = events_naming(person, naming, own=own, before=at)
    if held := _holding(leaves):
        raise Conflict("erasure_held", holds=", ".join(str(hold) for hold in held))
    parts, receipts = erase_private(uids, person_id=str(person.pk), actor=actor, at=at, reason=reason)
    forget_ungoverned(person, naming)
    return Erasure(person=erased, parts=parts, texts=texts, receipts=tuple(receipts))


def _replace_texts(person: Person, naming: Naming, *, actor: Actor, at: datetime) -> tuple[int, list[tuple[str, str]]]:
    """Replace private texts of the person's own rows, and others' that name them; return how many rows, and which are own."""
    replaced, own = 0, []
    for model, event, owner in TEXTS:
        table = governed_of(model)
        wanted = models.Q(**{owner: person.pk}) if owner else models.Q()
        texts = sorted(table.private - {"purpose_salt"})
        for spelling in naming.spellings:
            for column in texts:
                wanted |= models.Q(**{f"{column}__icontains": spelling})
        for row in model._base_manager.filter(wanted).select_for_update(of=("self",)) if wanted else ():
            is_own = bool(owner) and getattr(row, owner) == person.pk
            if is_own:
                own.append((table.target_type, str(row.pk)))
            columns = {each: _marked(row, each) for each in texts if is_own or naming.is_in(str(getattr(row, each)))}
            columns = {each: text for each, text in columns.items() if getattr(row, each) not in ("", text)}
            if "purpose" in columns:
                columns["purpose_salt"] = ""  # the commitment in the approved content now opens to nothing
            if columns:
                update(row, event, actor=actor, at=at, columns=columns, forget=tuple(columns))
                replaced += 1
    return replaced, own


def _marked(row: models.Model, column: str) -> str:
    """A person's saved searches differ by name, so the marker does too."""
    return f"{ERASED_TEXT} {row.pk}" if isinstance(row, SavedSearch) and column == "name" else ERASED_TEXT


def _holding(leaves: list[int]) -> list[AuditHold]:
    """Return the holds on any of these leaves; -1 stands for what is not sealed, which only holds without an end keep."""
    sealed = sorted(leaf for leaf in leaves if leaf >= 0)
    found = []
    for hold in holds_in_force():
        inside = any(hold.from_leaf <= leaf < hold.upto_leaf for leaf in sealed)
        if inside or (-1 in leaves and hold.upto_leaf >= WITHOUT_END):
            found.append(hold)
    return found
