"""Shape events of the log for people: one line in a list, or everything on a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from audit.canonical import JsonValue
from audit.events import Severity, catalogued
from audit.models import AuditEvent
from audit.seals import LeafPlace, Seal
from keys.events import LogSampled
from keys.people.methods import method_words, methods_words
from keys.people.programs import program_words
from keys.reports.labels import Names, actor_name, private_facts, reference, subject_of, words_for_action
from keys.reports.searches import Subject
from portal.web.components import Term

OUTCOME_TONES = {"success": "success", "failure": "warning", "denied": "danger", "error": "danger", "intent": "info"}
SEVERITY_TONES = {Severity.MEDIUM: "warning", Severity.HIGH: "danger", Severity.CRITICAL: "danger"}
Facts = Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """One event in a list."""

    at: datetime
    address: str
    actor: str
    actor_query: str
    words: str
    action: str
    target: str
    target_query: str
    environment: str
    outcome: str
    tone: str
    severity: str
    severity_tone: str
    reason: str
    uid: UUID
    seal: LeafPlace | None


@dataclass(frozen=True, kw_only=True)
class ChangedField:
    """One column that an event changed; `is_private` when it stands in the erasable part."""

    name: str
    before: str
    after: str
    before_name: str
    after_name: str
    is_private: bool


def event_rows(events: Iterable[AuditEvent], names: Names, sealed: Mapping[int, LeafPlace]) -> list[EventRow]:
    """Shape a page of events; what has no place still waits for the sealer. A page with proofs gives whole seals."""
    return [_row(event, names, sealed.get(event.pk)) for event in events]


def _row(event: AuditEvent, names: Names, seal: LeafPlace | None) -> EventRow:
    kind = catalogued(event.action)
    severity = kind.severity if kind else Severity.INFORMATIONAL
    return EventRow(
        at=event.occurred_at,
        address=reverse("audit_event", args=[event.uid]),
        actor=actor_name(event),
        actor_query=f"who={Subject(event.actor_type, event.actor_id).text()}",
        words=words_for_action(event.action),
        action=event.action,
        target=names.of_target(event),
        target_query=f"target={subject_of(event).text()}",
        environment=event.environment,
        outcome=event.outcome,
        tone=OUTCOME_TONES.get(event.outcome, "neutral"),
        severity=str(severity),
        severity_tone=SEVERITY_TONES.get(severity, ""),
        reason=str(event.envelope().get("reason") or ""),
        uid=event.uid,
        seal=seal,
    )


def event_facts(event: AuditEvent, names: Names, seal: Seal | None) -> dict[str, Any]:
    """Shape everything about one event (Any: what the template draws)."""
    envelope = event.envelope()
    hidden = private_facts(event)
    return {
        "event": event,
        "row": _row(event, names, seal),
        "seal": seal,
        "seal_terms": _seal_terms(seal),
        "is_sample": event.action == LogSampled.action,
        "terms": _terms(event, envelope),
        "changes": [
            *_changes(_object(envelope.get("change")), names, is_private=False),
            *_changes(_object((hidden or {}).get("change")), names, is_private=True),
        ],
        "details": [
            Term(name=name, value=_fact(name, value)) for name, value in _object(envelope.get("details")).items()
        ],
        "is_erased": hidden is None,
        "hides_changes": "change" in (hidden or {}),
        "hidden": _hidden_terms(hidden or {}),
        "payload": bytes(event.payload).decode(),
    }


def _terms(event: AuditEvent, envelope: Facts) -> list[Term]:
    actor, auth, request = (_object(envelope.get(name)) for name in ("actor", "auth", "request"))
    deputed, policy, private = (_object(envelope.get(name)) for name in ("on_behalf_of", "policy", "private"))
    methods = auth.get("methods")
    found = [
        Term(name=_("When"), value=str(envelope.get("time", "")), mono=True),
        Term(name=_("Recorded"), value=event.recorded_at.isoformat(), mono=True),
        Term(name=_("Actor"), value=f"{actor.get('type')}:{actor.get('id')}", mono=True),
        Term(name=_("Session"), value=actor.get("session") or None, mono=True),
        Term(name=_("On behalf of"), value=f"{deputed['type']}:{deputed['id']}" if deputed else None, mono=True),
        Term(name=_("Second factor"), value=_("yes") if auth.get("mfa") else _("no")),
        Term(
            name=_("Methods"), value=methods_words(map(str, methods)) if isinstance(methods, list) and methods else None
        ),
        Term(name=_("Factor"), value=auth.get("device") or None, mono=True),
        Term(name=_("Assurance"), value=auth.get("assurance") or None),
        Term(name=_("Seconds since sign-in"), value=auth.get("age")),
        Term(name=_("Target"), value=f"{event.target_type}:{event.target_id}", mono=True),
        Term(name=_("Reason"), value=envelope.get("reason") or None),
        Term(name=_("Request"), value=request.get("id") or None, mono=True),
        Term(
            name=_("Route"), value=f"{request.get('method', '')} {request.get('route', '')}".strip() or None, mono=True
        ),
        Term(name=_("Task"), value=request.get("task") or None, mono=True),
        Term(name=_("Correlation"), value=envelope.get("correlation") or None, mono=True),
        Term(name=_("Approvals"), value=_words(envelope.get("approvals")) or None, mono=True),
        Term(name=_("Rule"), value=policy.get("rule")),
        Term(name=_("Version of Keystead"), value=envelope.get("app")),
        Term(name=_("Number of the event"), value=event.pk),
        Term(name=_("Identifier of the event"), value=str(event.uid), mono=True),
        Term(name=_("Commitment to the private part"), value=private.get("commitment"), mono=True),
    ]
    return [term for term in found if term.value is not None]


def _seal_terms(seal: Seal | None) -> list[Term]:
    if seal is None:
        return []
    return [
        Term(name=_("Leaf"), value=seal.leaf, mono=True),
        Term(name=_("Leaf hash (SHA-256)"), value=seal.leaf_hash.hex(), mono=True),
        Term(name=_("First checkpoint above it"), value=_("%(size)s leaves") % {"size": seal.checkpoint}),
    ]


def _changes(change: Facts, names: Names, *, is_private: bool) -> list[ChangedField]:
    found = []
    for name, pair in change.items():
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        before, after = pair
        found.append(
            ChangedField(
                name=name.removesuffix("_id").replace("_", " ") if reference(name) else name.replace("_", " "),
                before=_words(before),
                after=_words(after),
                before_name=names.of_value(name, before),
                after_name=names.of_value(name, after),
                is_private=is_private,
            )
        )
    return found


def _hidden_terms(hidden: Facts) -> list[Term]:
    labels = {
        "name": _("Name of the actor"),
        "ip": _("Address"),
        "user_agent": _("Browser"),
        "on_behalf_of": _("Name of whom they acted for"),
    }
    told = [
        Term(name=labels.get(name, name), value=_fact(name, value))
        for name, value in _object(hidden.get("actor")).items()
    ]
    return told + [Term(name=name, value=_words(value)) for name, value in _object(hidden.get("details")).items()]


def _object(value: JsonValue) -> Facts:
    return value if isinstance(value, dict) else {}


def _fact(name: str, value: JsonValue) -> str:
    """Say a way of proof or a browser in words; a browser's own words stay beside them, for they are what was recorded."""
    words = _words(value)
    if name == "method":
        return method_words(words)
    if name == "user_agent" and (browser := program_words(words)):
        return f"{browser} · {words}"
    return words


def _words(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(_words(each) for each in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_words(each)}" for name, each in value.items())
    return str(value)
