"""Write what a receiver is told of an event: what happened to what, when and where; nobody's name and no free text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings
from django.utils.translation import gettext as _

from keys.dispatch.cursor import Told
from keys.models import ManagedKey
from keys.webhooks.chat_form import chat_body
from keys.webhooks.reach import Subject

TEST: str = "webhook.tested"


def message_id(endpoint_id: UUID, event_uid: UUID) -> str:
    """The same for every attempt at telling this endpoint of this event, and for no other."""
    return f"msg_{uuid5(endpoint_id, str(event_uid)).hex}"


def body_of(told: Told, subject: Subject | None) -> str:
    """The JSON that is signed and sent for a sealed event."""
    target: dict[str, Any] = {"type": told.target_type, "id": told.target_id}
    if subject is not None:
        target["number"] = str(subject)
    if isinstance(subject, ManagedKey):
        target["name"] = subject.name
    return _written(
        action=told.action,
        at=told.occurred_at,
        uid=told.uid,
        target=target,
        environment=told.environment,
        outcome=told.outcome,
        leaf=told.leaf,
    )


def test_body(*, uid: UUID, endpoint_id: UUID, at: datetime) -> str:
    """The JSON of a test: of the same form, about the endpoint itself, and without a place in the log yet."""
    target = {"type": "webhook", "id": str(endpoint_id)}
    return _written(action=TEST, at=at, uid=uid, target=target, environment="", outcome="success", leaf=None)


def test_message() -> str:
    """The message of a test, for a chat."""
    return chat_body(
        subject=_("Keystead can write here"),
        sentence=_("This is a test. What concerns the keys of your team is said here from now on."),
        action=_("Open Keystead"),
        link=f"{settings.KEYSTEAD_PUBLIC_URL}/",
    )


def _written(*, action: str, at: datetime, uid: UUID, **facts: Any) -> str:
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"type": action, "timestamp": moment, "data": {"uid": str(uid), **facts}}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
