"""Put an event, its actor and its time into the canonical bytes that are hashed, and the private bytes that can be erased."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings

from audit.actor import Actor
from audit.canonical import JsonValue, canonical_json
from audit.events import Event
from audit.governed import column_value, private_columns
from audit.uuid7 import uuid7

VERSION = 1
COMMITMENT = "sha-256"
SALT_SIZE = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """An event as it is stored: `payload` for ever, `body` and `salt` until they are erased."""

    uid: UUID
    payload: bytes
    salt: bytes
    body: bytes


def commitment(salt: bytes, body: bytes) -> str:
    """Return what the payload says of its private part: without the salt nobody can test guesses."""
    return hashlib.sha256(salt + body).hexdigest()


def enclose(event: Event, *, actor: Actor, at: datetime) -> Sealed:
    """Return the bytes of `event`; `at` is the database's time of the decision."""
    if at.tzinfo is None:
        raise ValueError("the time of an event needs a zone")
    at_ms = (at - _EPOCH) // _MILLISECOND
    uid = uuid7(at_ms)
    change, private_change = _changes(event)
    salt = os.urandom(SALT_SIZE)
    body = canonical_json(_private(event, actor, private_change))
    auth, http, policy = actor.auth, actor.http, event.policy
    deputed = actor.on_behalf_of
    payload = canonical_json(
        {
            "version": VERSION,
            "uid": str(uid),
            "time": at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
            "action": event.action,
            "outcome": event.outcome,
            "severity": event.severity,
            "actor": {"type": actor.kind, "id": actor.id, "session": actor.session},
            "on_behalf_of": None if deputed is None else {"type": deputed.kind, "id": deputed.id},
            "auth": {
                "mfa": auth.mfa,
                "methods": auth.methods,
                "device": auth.device,
                "age": None if auth.at is None else max(0, (at - auth.at) // timedelta(seconds=1)),
                "assurance": auth.assurance,
            },
            "target": {"type": event.target_type, "id": event.target_id, "version": event.target_version},
            "environment": event.environment,
            "request": {"id": http.id, "method": http.method, "route": http.route, "task": http.task},
            "reason": event.reason,
            "change": change,
            "details": {name: column_value(getattr(event, name)) for name in event.detail_fields},
            "correlation": event.correlation,
            "approvals": event.approvals,
            "policy": None if policy is None else {"rule": policy.rule, "version": policy.version},
            "app": settings.KEYSTEAD_VERSION,
            "private": {"alg": COMMITMENT, "commitment": commitment(salt, body)},
        }
    )
    return Sealed(uid=uid, payload=payload, salt=salt, body=body)


def _changes(event: Event) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """Part the changed columns into those everybody may read and the private ones."""
    told: dict[str, JsonValue] = {}
    hidden: dict[str, JsonValue] = {}
    if event.change:
        private = private_columns(event.target_type)
        for name, (old, new) in event.change.items():
            (hidden if name in private else told)[name] = [column_value(old), column_value(new)]
    return told, hidden


def _private(event: Event, actor: Actor, change: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Gather what is personal or free text; nothing empty, so that most private parts are small."""
    body: dict[str, JsonValue] = {}
    deputed = actor.on_behalf_of
    who = {
        "name": actor.name,
        "ip": actor.http.ip,
        "user_agent": actor.http.user_agent,
        "on_behalf_of": "" if deputed is None else deputed.name,
    }
    if known := {key: value for key, value in who.items() if value}:
        body["actor"] = known
    if event.private_fields:
        body["details"] = {name: column_value(getattr(event, name)) for name in event.private_fields}
    if change:
        body["change"] = change
    return body
