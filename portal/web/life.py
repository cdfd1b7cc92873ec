"""Tell the events of a request or a key as a timeline that people can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor, ActorKind
from audit.models import AuditEvent
from keys.models import KeyVersion
from portal.templatetags.times import absolute
from portal.web.components import TimelineItem, Words
from portal.web.finding import names_of
from portal.web.rotation_words import cause_words
from portal.web.wording import METHODS, reason_words

Facts = Mapping[str, Any]  # JSON of an event

# What another event of the same moment tells better.
UNTOLD = frozenset({"request.denied", "request.returned"})

TOLD: Mapping[str, tuple[Promise, str, str]] = {
    "request.submitted": (gettext_lazy("Asked for"), "file-text", "info"),
    "request.edited": (gettext_lazy("Edited; approvals so far no longer count"), "pencil", "warning"),
    "request.narrowed": (gettext_lazy("Narrowed"), "scissors", "warning"),
    "request.withdrawn": (gettext_lazy("Withdrawn"), "undo-2", "neutral"),
    "request.nudged": (gettext_lazy("Approvers reminded"), "bell", "neutral"),
    "request.approved": (gettext_lazy("Enough approvals: granted"), "badge-check", "success"),
    "request.denied": (gettext_lazy("Denied"), "circle-x", "danger"),
    "request.lapsed": (gettext_lazy("Lapsed: nobody decided in time"), "timer-off", "neutral"),
    "request.receipt-taken": (gettext_lazy("A receipt was taken"), "file-check", "neutral"),
    "approval.given": (gettext_lazy("Decided"), "circle-check", "success"),
    "approval.voided": (gettext_lazy("An approval no longer counts"), "circle-slash", "warning"),
    "key.created": (gettext_lazy("Key created"), "key-round", "success"),
    "key.renewed": (gettext_lazy("Renewed"), "calendar-plus", "success"),
    "key.shortened": (gettext_lazy("Authorisation cut short"), "calendar-minus", "warning"),
    "key.revoked": (gettext_lazy("Revoked"), "octagon-x", "danger"),
    "key.handed-over": (gettext_lazy("Handed over to another team"), "arrow-right-left", "info"),
    "key.leak-reported": (gettext_lazy("Leak reported"), "siren", "danger"),
    "version.created": (gettext_lazy("%(version)s waits to be claimed"), "hourglass", "info"),
    "version.issued": (gettext_lazy("%(version)s: the secret was handed over"), "package-check", "success"),
    "version.activated": (gettext_lazy("%(version)s works: its client has it"), "circle-check", "success"),
    "version.claim-repeated": (gettext_lazy("%(version)s asked for again; no secret was given"), "repeat", "warning"),
    "version.suspended": (gettext_lazy("%(version)s suspended"), "circle-pause", "warning"),
    "version.reinstated": (gettext_lazy("%(version)s reinstated"), "circle-play", "success"),
    "version.retirement-set": (
        gettext_lazy("%(version)s has its end: a newer one takes its place"),
        "calendar-clock",
        "neutral",
    ),
    "version.retirement-lifted": (gettext_lazy("%(version)s lives on"), "undo-2", "warning"),
    "version.shortened": (gettext_lazy("%(version)s will end earlier"), "calendar-minus", "neutral"),
    "version.deactivated": (gettext_lazy("%(version)s ended"), "circle-off", "neutral"),
    "version.compromised": (gettext_lazy("%(version)s ended: compromised"), "siren", "danger"),
    "version.destroyed": (gettext_lazy("%(version)s destroyed"), "trash-2", "neutral"),
    "version.integrity-failed": (gettext_lazy("%(version)s: its row was tampered with"), "shield-alert", "danger"),
    "rotation.scheduled": (gettext_lazy("Rotation scheduled"), "calendar-clock", "neutral"),
    "rotation.prepared": (gettext_lazy("Rotation: the next version waits"), "hourglass", "info"),
    "rotation.handed-over": (gettext_lazy("Rotation: the client fetched the new secret"), "package-check", "info"),
    "rotation.activated": (gettext_lazy("Rotation: the new version works"), "copy-check", "success"),
    "rotation.drained": (gettext_lazy("Rotation: the old version is ending"), "timer", "neutral"),
    "rotation.completed": (gettext_lazy("Rotation completed"), "circle-check", "success"),
    "rotation.aborted": (gettext_lazy("Rotation stopped"), "circle-off", "warning"),
    "rotation.contested": (
        gettext_lazy("Rotation: the next secret was asked for with two tokens"),
        "siren",
        "danger",
    ),
    "rotation.rolled-back": (gettext_lazy("Rotation undone"), "undo-2", "warning"),
    "transfer.offered": (gettext_lazy("Offered to another team"), "send", "info"),
    "transfer.decided": (gettext_lazy("The offer was answered"), "arrow-right-left", "neutral"),
}

DECISIONS: Mapping[str, tuple[Promise, str, str]] = {
    "approve": (gettext_lazy("Approved"), "circle-check", "success"),
    "narrow": (gettext_lazy("Approved what is left"), "circle-check", "success"),
    "return": (gettext_lazy("Asked back"), "message-circle-question-mark", "warning"),
    "deny": (gettext_lazy("Denied"), "circle-x", "danger"),
}

TRANSFER_OUTCOMES: Mapping[str, Promise] = {
    "accepted": gettext_lazy("Accepted by the receiving team"),
    "declined": gettext_lazy("Declined by the receiving team"),
    "withdrawn": gettext_lazy("The offer was taken back"),
    "lapsed": gettext_lazy("The offer lapsed"),
}

COMPARED: Mapping[str, Promise] = {
    "scopes": gettext_lazy("scopes"),
    "networks": gettext_lazy("networks"),
    "cryptoperiod_days": gettext_lazy("days a secret lives"),
    "authorised_days": gettext_lazy("days authorised"),
    "name": gettext_lazy("name"),
    "consumer": gettext_lazy("consumer"),
    "ticket": gettext_lazy("ticket"),
}


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who and what the events speak of, by id."""

    people: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    teams: Mapping[str, str] = field(default_factory=dict)


def told(
    events: Iterable[AuditEvent],
    *,
    actor: Actor,
    versions: Iterable[KeyVersion] = (),
    teams: Mapping[str, str] | None = None,
) -> list[TimelineItem]:
    """Tell events in the order given, as far as this room knows words for them."""
    rows = [event for event in events if event.action in TOLD and event.action not in UNTOLD]
    people = names_of((event.actor_id for event in rows if event.actor_type == ActorKind.PERSON), actor=actor)
    parts = Cast(people=people, versions={str(each.pk): each.sequence for each in versions}, teams=teams or {})
    return [_item(event, parts) for event in rows]


def _item(event: AuditEvent, parts: Cast) -> TimelineItem:
    envelope = event.envelope()
    hidden = _private(event)
    change = _object(envelope.get("change"))
    title, icon, tone = _look(event, change)
    return TimelineItem(
        title=str(title) % {"version": _version(event, parts)} if "%(version)s" in str(title) else title,
        at=event.occurred_at,
        actor=_who(event, parts),
        detail=_detail(event, envelope, hidden, parts),
        icon=icon,
        tone=tone,
    )


def _look(event: AuditEvent, change: Facts) -> tuple[Words, str, str]:
    if event.action == "approval.given":
        return DECISIONS.get(_new(change, "decision"), TOLD[event.action])
    if event.action == "transfer.decided":
        words: Words = TRANSFER_OUTCOMES.get(_new(change, "outcome"), TOLD[event.action][0])
        return words, *TOLD[event.action][1:]
    if event.action == "request.submitted" and _new(change, "renews_id"):
        return _("Renewal asked for"), "calendar-plus", "info"
    return TOLD[event.action]


def _who(event: AuditEvent, parts: Cast) -> str:
    if event.actor_type == ActorKind.PERSON:
        return parts.people.get(event.actor_id) or _("Somebody who is no longer known")
    if event.actor_type == ActorKind.PROGRAM:
        return _("A program")
    if event.actor_type == ActorKind.OPERATOR:
        return _("An operator at the server")
    return _("Keystead")


def _version(event: AuditEvent, parts: Cast) -> str:
    number = parts.versions.get(event.target_id)
    return _("Version %(number)s") % {"number": number} if number else _("A version")


def _detail(event: AuditEvent, envelope: Facts, hidden: Facts, parts: Cast) -> Words:
    change, details = _object(envelope.get("change")), _object(envelope.get("details"))
    private_change = _object(hidden.get("change"))
    private_details = _object(hidden.get("details"))
    if event.action == "request.submitted":
        return f"REQ-{_new(change, 'number')}"
    if event.action in ("request.edited", "request.narrowed"):
        return _content_words(change)
    if event.action == "approval.given":
        return _sentences(
            str(METHODS.get(_new(change, "method"), "")).capitalize(),
            _("in place of a colleague") if details.get("delegated") else "",
            _quoted(_new(private_change, "comment")),
        )
    if event.action in ("transfer.offered", "key.handed-over"):
        column = "to_team_id" if event.action == "transfer.offered" else "owner_team_id"
        team = parts.teams.get(_new(change, column), "")
        return _sentences(_("To %(team)s") % {"team": team} if team else "", _quoted(_new(private_change, "comment")))
    if event.action in ("key.leak-reported", "request.withdrawn"):
        return _quoted(str(private_details.get("comment") or ""))
    return _of_rotation(event, change) or _because(str(envelope.get("reason") or ""))


def _of_rotation(event: AuditEvent, change: Facts) -> str:
    """Say when the old version ends or the next rotation is due, and why it was begun."""
    column = {"version.retirement-set": "retire_at", "rotation.scheduled": "due_at"}.get(event.action, "")
    instant, cause = _new(change, column), _new(change, "cause")
    return _sentences(
        absolute(datetime.fromisoformat(instant)) if instant else "",
        _("Because %(reason)s") % {"reason": cause_words(cause)} if cause else "",
    )


def _because(reason: str) -> str:
    return _("Because %(reason)s") % {"reason": reason_words(reason)} if reason else ""


def _content_words(change: Facts) -> str:
    """Say which parts of the canonical content are others now."""
    pair = change.get("content")
    if not isinstance(pair, list) or not all(isinstance(each, dict) for each in pair):
        return ""
    before, after = pair
    found = []
    for name, label in COMPARED.items():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, list) and isinstance(new, list):
            gone = [f"- {each}" for each in old if each not in new]
            come = [f"+ {each}" for each in new if each not in old]
            found.append(f"{label}: {', '.join([*gone, *come])}")
        else:
            found.append(f"{label}: {old or '—'} → {new or '—'}")
    return "; ".join(found)


def _sentences(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _quoted(text: str) -> str:
    return f"“{text}”" if text else ""


def _new(change: Facts, column: str) -> str:
    pair = change.get(column)
    return str(pair[1]) if isinstance(pair, list) and len(pair) == 2 and pair[1] is not None else ""


def _object(value: object) -> Facts:
    return value if isinstance(value, dict) else {}


def _private(event: AuditEvent) -> Facts:
    """Read the private part, unless it was erased."""
    try:
        return event.private.facts()
    except ObjectDoesNotExist:
        return {}
