"""Give events words and names: what happened, by whom, to what; no bare identifiers where a name is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import models
from django.utils.translation import gettext as _

from audit.canonical import JsonValue
from audit.events import Event, catalogue, catalogued
from audit.models import AuditEvent, AuditPrivate
from keys.models import (
    Approval,
    Delegation,
    Environment,
    FactorReset,
    Invitation,
    JobSchedule,
    KeyRequest,
    KeyTemplate,
    KeyTransfer,
    KeyVersion,
    ManagedKey,
    Membership,
    Person,
    Policy,
    PolicyProposal,
    Rotation,
    SavedSearch,
    Scope,
    Service,
    Team,
)
from keys.reports.searches import Subject

# Targets that have a row with a name, and what `str()` of that row touches.
_ROWS: Mapping[str, tuple[type[models.Model], tuple[str, ...]]] = {
    "key": (ManagedKey, ()),
    "version": (KeyVersion, ("managed_key",)),
    "rotation": (Rotation, ("managed_key",)),
    "transfer": (KeyTransfer, ("managed_key", "from_team", "to_team")),
    "request": (KeyRequest, ()),
    "approval": (Approval, ("request", "person")),
    "person": (Person, ()),
    "team": (Team, ()),
    "membership": (Membership, ("team", "person")),
    "delegation": (Delegation, ("person", "delegate")),
    "invitation": (Invitation, ("person",)),
    "factor-reset": (FactorReset, ("person",)),
    "service": (Service, ()),
    "scope": (Scope, ("service",)),
    "environment": (Environment, ()),
    "template": (KeyTemplate, ("service",)),
    "policy": (Policy, ("service", "environment")),
    "policy-proposal": (PolicyProposal, ("service", "environment")),
    "saved-search": (SavedSearch, ()),
    "schedule": (JobSchedule, ()),
}
_OF_MODEL = {model._meta.model_name: kind for kind, (model, _related) in _ROWS.items()}
# Columns that hold the identifier of another row, by the end of their name.
_REFERENCES = {
    "team_id": "team",
    "service_id": "service",
    "environment_id": "environment",
    "policy_id": "policy",
    "managed_key_id": "key",
    "renews_id": "key",
    "requested_by_key_id": "key",
    "request_id": "request",
    "person_id": "person",
    "requester_id": "person",
    "recipient_id": "person",
    "last_editor_id": "person",
    "seat_id": "person",
    "delegate_id": "person",
    "user_id": "person",
    "by_id": "person",
    "suspended_by": "person",
    "revoked_by": "person",
}


@dataclass(frozen=True)
class Names:
    """The names of things that some events speak of, found in one query for each kind."""

    known: Mapping[Subject, str]

    def of(self, subject: Subject) -> str:
        """The name of a thing, or the beginning of its identifier when it has none."""
        return self.known.get(subject) or f"{subject.kind} {_short(subject.id)}".strip()

    def of_target(self, event: AuditEvent) -> str:
        """What an event is about; a refusal is about the thing that was asked for."""
        return self.of(subject_of(event))

    def of_value(self, column: str, value: JsonValue) -> str:
        """The name behind an identifier in a column, or nothing when the value is no identifier."""
        kind = reference(column)
        return self.known.get(Subject(kind, value), "") if kind and isinstance(value, str) else ""


def subject_of(event: AuditEvent) -> Subject:
    """Name what an event is about."""
    if event.target_type == "access":
        details = event.envelope().get("details")
        asked = str(details.get("subject", "")) if isinstance(details, dict) else ""
        return Subject(_OF_MODEL.get(asked, "access"), event.target_id)
    return Subject(event.target_type, event.target_id)


def reference(column: str) -> str:
    """Say which kind of thing a column points to, or nothing."""
    return next((kind for end, kind in _REFERENCES.items() if column == end or column.endswith(f"_{end}")), "")


def names_for(subjects: Iterable[Subject]) -> Names:
    """Look up the names of things."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for subject in subjects:
        if subject.kind in _ROWS and _is_uuid(subject.id):
            wanted[subject.kind].add(subject.id)
    known: dict[Subject, str] = {}
    for kind, ids in wanted.items():
        model, related = _ROWS[kind]
        rows = model._base_manager.filter(pk__in=ids)
        for row in rows.select_related(*related) if related else rows:
            known[Subject(kind, str(row.pk))] = _name(row)
    return Names(known)


def names_of(texts: Iterable[str]) -> dict[str, str]:
    """Look up the names behind texts of subjects (`person:<id>`), as the log's own tables name people."""
    subjects = [subject for subject in map(Subject.parse, texts) if subject is not None]
    names = names_for(subjects)
    return {subject.text(): names.of(subject) for subject in subjects}


def names_in(events: Iterable[AuditEvent]) -> Names:
    """Look up what events are about and what their changes point to."""
    subjects: list[Subject] = []
    for event in events:
        subjects.append(subject_of(event))
        for part in (event.envelope(), private_facts(event) or {}):
            change = part.get("change")
            for column, pair in change.items() if isinstance(change, dict) else ():
                kind = reference(column)
                if kind and isinstance(pair, list):
                    subjects += [Subject(kind, value) for value in pair if isinstance(value, str)]
    return names_for(subjects)


def _name(row: models.Model) -> str:
    if isinstance(row, ManagedKey):
        return f"{row} · {row.name}"
    if isinstance(row, Approval):
        return f"{row.request} · {row.person}"
    if isinstance(row, Scope | KeyTemplate):
        return f"{row.service} · {row}"
    return str(row)


def private_facts(event: AuditEvent) -> dict[str, JsonValue] | None:
    """Return the private part of an event, or None when it was erased."""
    try:
        return event.private.facts()
    except AuditPrivate.DoesNotExist:
        return None


def actor_name(event: AuditEvent) -> str:
    """Say who acted: a person by the name they had, everything else by what it is."""
    facts = private_facts(event)
    if facts is None and event.actor_type == "person":
        return _("name erased (%(id)s)") % {"id": _short(event.actor_id)}
    actor = (facts or {}).get("actor")
    name = actor.get("name") if isinstance(actor, dict) else None
    if isinstance(name, str) and name:
        return name
    if event.actor_type == "person":
        return _("nobody known") if event.actor_id == str(UUID(int=0)) else _short(event.actor_id)
    return f"{event.actor_type} {_short(event.actor_id)}"


def words_for_action(action: str) -> str:
    """Say in a sentence what an action means; its name stays what programs know."""
    kind = catalogued(action)
    return _(sentence_of(kind)) if kind is not None else action


def sentence_of(event: type[Event]) -> str:
    """Return the first sentence of an event's docstring, without its full stop."""
    return " ".join((event.__doc__ or "").strip().split("\n\n")[0].split()).rstrip(".")


def actions() -> list[tuple[str, str]]:
    """Return every action that can be looked for, with its words, for choosing."""
    ours = (each for each in catalogue().items() if each[1].__module__.split(".")[0] in {"audit", "keys", "portal"})
    return [(action, words_for_action(action)) for action, _event in sorted(ours)]


def _short(text: str) -> str:
    return text[:8] if _is_uuid(text) else text[:40]


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
