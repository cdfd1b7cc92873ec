"""Say in a subject and a sentence what happened, and where to go; made when shown or sent, never stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from audit import clock
from keys.lifecycle.inventory import end_of_version
from keys.models import (
    Approval,
    FactorReset,
    KeyRequest,
    KeyTransfer,
    KeyVersion,
    ManagedKey,
    Notice,
    PolicyProposal,
    Rotation,
    Scope,
    Service,
    WebhookEndpoint,
)
from keys.monitoring.laggards import laggards_of
from keys.monitoring.traffic import SeenClient
from keys.notifications.reminder_sayings import REMINDER_SAYINGS
from keys.notifications.sayings import SAYINGS, STOPPED
from keys.people.programs import program_words

# The doors serve these paths (portal/web/urls.py; a test compares them).
PATHS = {
    "request": "/requests/{number}/",
    "key": "/keys/{number}/",
    "rotation": "/keys/{number}/rotation/",
    "policy-proposals": "/policies/proposals/",
    "factors": "/account/factors/",
    "delegates": "/account/delegates/",
    "sessions": "/account/sessions/",
    "people": "/admin/",
    "webhook": "/webhooks/{id}/",
    "needs": "/needs/",
    "home": "/",
}


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a person reads. `path` is where they act; it carries no power."""

    subject: str
    sentence: str
    action: str
    path: str


def words_for(notice: Notice) -> Words:
    """The words of a notice as things stand now."""
    subject, sentence, action = EVERYTHING_SAID[notice.kind]
    facts = _facts(notice)
    path = facts.pop("path")
    if "until" in notice.params:  # of what somebody was reminded, also when the end has moved since
        facts["until"] = spoken(datetime.fromisoformat(notice.params["until"]))
    values = {
        **_NOTHING,
        "reason": notice.params.get("reason", ""),
        "lines": str(notice.params.get("lines", "")),
        **facts,
    }
    values["because"] = _(STOPPED.get(values["reason"], "")).format(**values) if values["reason"] in STOPPED else ""
    return Words(
        subject=_(subject).format(**values), sentence=_(sentence).format(**values), action=_(action), path=path
    )


EVERYTHING_SAID = {**SAYINGS, **REMINDER_SAYINGS}
_NOTHING = {"subject": "", "service": "", "environment": "", "until": "", "count": "0", "clients": ""}
LAGGARDS = ("reminder.laggards", "reminder.laggards-refused")
MOST_CLIENTS = 5


def spoken(at: datetime | None) -> str:
    """A time as people read it; always UTC, and said so."""
    return "" if at is None else f"{date_format(at, 'j F Y, H:i')} UTC"


def _facts(notice: Notice) -> dict[str, str]:
    row = row_about(notice)
    if isinstance(row, Approval):
        row = row.request
    until, more = None, {}
    if isinstance(row, Rotation):
        until = end_of_version(row.old_version) if row.old_version else None
        more = _laggards(row) if notice.kind in LAGGARDS else {}
    if isinstance(row, KeyVersion | KeyTransfer | Rotation):
        row = row.managed_key
    if isinstance(row, KeyRequest | ManagedKey):
        family = "request" if isinstance(row, KeyRequest) else "key"
        return {
            "subject": str(row),
            "service": row.service.name,
            "environment": row.environment.name,
            "until": spoken(until),
            "path": PATHS["rotation" if notice.kind in LAGGARDS else family].format(number=row.number),
            **more,
        }
    if isinstance(row, PolicyProposal):
        return {"subject": str(row), "path": PATHS["policy-proposals"]}
    if isinstance(row, FactorReset):
        return {"path": PATHS["people"] if notice.kind == "factor-reset.proposed" else PATHS["home"]}
    if isinstance(row, WebhookEndpoint):
        return {"subject": str(row), "path": PATHS["webhook"].format(id=row.pk)}
    if isinstance(row, Service | Scope):
        return {"subject": str(row), "path": PATHS["home"]}
    return {"path": PATHS[_PLACES.get(notice.kind, "home")]}


def _laggards(rotation: Rotation) -> dict[str, str]:
    """Who has not moved, as things stand now; what a client says of itself is shortened and kept to one line."""
    found = laggards_of(rotation, at=clock.now())
    named = [_client(each) for each in found[:MOST_CLIENTS]]
    if len(found) > MOST_CLIENTS:
        named.append(_("and {count} more").format(count=len(found) - MOST_CLIENTS))
    return {"count": str(len(found)), "clients": ", ".join(named)}


def _client(client: SeenClient) -> str:
    if client.is_nameless:
        return _("clients without a name")
    said = " ".join(
        part
        for part in (
            client.address or "",
            program_words(client.user_agent) or client.user_agent[:40],
            client.instance[:40],
        )
        if part
    )
    return " ".join("".join(each if each.isprintable() else " " for each in said).split())


def is_moot(notice: Notice) -> bool:
    """Whether there is nothing to say any more: everybody moved before the mail went out."""
    if notice.kind not in LAGGARDS:
        return False
    row = row_about(notice)
    return not isinstance(row, Rotation) or not laggards_of(row, at=clock.now())


# Where to go about what has no row of its own.
_PLACES = {
    "password.changed": "factors",
    "password.reset-completed": "factors",
    "second-factor.locked": "factors",
    "totp.enrolled": "factors",
    "totp.removed": "factors",
    "passkey.enrolled": "factors",
    "passkey.removed": "factors",
    "recovery-codes.made": "factors",
    "recovery-codes.used": "factors",
    "delegation.named": "delegates",
    "device-sign-in.completed": "sessions",
    "device-sign-in.reused": "sessions",
    "digest": "needs",
}
_MODELS: dict[str, type[models.Model]] = {
    "request": KeyRequest,
    "approval": Approval,
    "key": ManagedKey,
    "version": KeyVersion,
    "transfer": KeyTransfer,
    "rotation": Rotation,
    "policy-proposal": PolicyProposal,
    "service": Service,
    "scope": Scope,
    "factor-reset": FactorReset,
    "webhook": WebhookEndpoint,
}


def row_about(notice: Notice) -> models.Model | None:
    """The row that a notice is about, if it is one of those that have words of their own."""
    subject_type, subject = notice.subject_type, notice.subject_id
    if subject_type == "event":  # an event about an event: what that one was about stands in the details
        subject_type, subject = notice.params.get("subject_type", ""), notice.params.get("subject")
    model = _MODELS.get(subject_type)
    return model._base_manager.filter(pk=subject).first() if model else None
