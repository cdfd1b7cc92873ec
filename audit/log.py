"""Append events to the log: in the caller's transaction, in one statement, or not at all.

When the log cannot be written, the act does not happen: an error here rolls the caller's transaction back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.actor import Actor, ActorKind
from audit.bound import bound_cursor
from audit.envelope import Sealed, enclose
from audit.events import Event, Outcome
from audit.keeping_events import PrivatePartErased
from audit.models import MAX_PAYLOAD
from audit.secret_scan import find_secret

# Only the payload is written: a trigger of the database fills the columns from it, whoever writes.
_ONE = "SELECT audit_record(%s, %s, %s)"
_MANY = """
WITH given AS (
    SELECT * FROM unnest(%s::uuid[], %s::bytea[], %s::bytea[], %s::bytea[]) WITH ORDINALITY
        AS given (uid, payload, salt, body, place)
), event AS (
    INSERT INTO audit_event (payload) SELECT payload FROM given ORDER BY place RETURNING id, uid
)
INSERT INTO audit_private (event_id, salt, body)
SELECT event.id, given.salt, given.body FROM event JOIN given USING (uid)
"""
# Forms bound their texts far below this; it keeps a mistake from filling the disk.
MAX_PRIVATE = 64 * 1024
# 36 characters and quotes each: an erasure must fit into one payload.
_ERASED_AT_ONCE = 300


class LogError(Exception):
    """The event cannot be recorded, so what it tells of must not happen."""


class TransactionRequired(LogError):
    """An event outside a transaction could stand without its act, or the act without it."""


class LogUnwritable(LogError):
    """The database would not take the event; the cause is chained."""


class PayloadTooLarge(LogError):
    """The payload is over MAX_PAYLOAD bytes, or the private part over MAX_PRIVATE."""


class MfaRequired(LogError):
    """The catalogue says that this act needs a second factor, and the actor has none."""


class SecretBlocked(LogError):
    """The bytes looked like a secret of this `kind`; nothing was written. Record SecretAttempted after the rollback."""

    def __init__(self, kind: str, *, action: str, target_type: str) -> None:
        super().__init__(f"{action} holds what looks like a secret ({kind})")
        self.kind = kind
        self.action = action
        self.target_type = target_type


def record(event: Event, *, actor: Actor, at: datetime, using: str = "default") -> UUID:
    """Append one event in the current transaction and return its uid; `at` is the time the operation decided with."""
    _in_transaction(using)
    sealed = _sealed(event, actor=actor, at=at)
    _write(_ONE, (sealed.payload, sealed.salt, sealed.body), using=using)
    return sealed.uid


def record_many(events: Sequence[Event], *, actor: Actor, at: datetime, using: str = "default") -> list[UUID]:
    """Append events in this order, in one statement, and return their uids."""
    _in_transaction(using)
    sealed = [_sealed(event, actor=actor, at=at) for event in events]
    if sealed:
        _write(
            _MANY,
            (
                [each.uid for each in sealed],
                [each.payload for each in sealed],
                [each.salt for each in sealed],
                [each.body for each in sealed],
            ),
            using=using,
        )
    return [each.uid for each in sealed]


def erase_private(
    uids: Sequence[UUID], *, person_id: str, actor: Actor, at: datetime, reason: str, using: str = "default"
) -> tuple[int, list[UUID]]:
    """Delete the private parts of these events, on record; return how many there were, and the events that say so: the receipts."""
    connection = _in_transaction(using)
    erased, receipts = 0, []
    for start in range(0, len(uids), _ERASED_AT_ONCE):
        named = tuple(str(uid) for uid in uids[start : start + _ERASED_AT_ONCE])
        erasure = record(
            PrivatePartErased(target_id=person_id, reason=reason, events=named), actor=actor, at=at, using=using
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT audit_erase_private(%s)", (erasure,))
            erased += int(cursor.fetchone()[0])
        receipts.append(erasure)
    return erased, receipts


def _write(statement: str, values: Sequence[Any], *, using: str) -> None:
    try:
        with bound_cursor(using) as cursor:
            cursor.execute(statement, values)
    except OperationalError:
        raise  # a lock, a time-out or a lost connection: the operation answers for those
    except DatabaseError as error:
        raise LogUnwritable("the log took no event, so nothing happened") from error


def _in_transaction(using: str) -> BaseDatabaseWrapper:
    connection = connections[using]
    if not connection.in_atomic_block:
        raise TransactionRequired("record() needs the transaction of the change it tells of")
    return connection


def _sealed(event: Event, *, actor: Actor, at: datetime) -> Sealed:
    if event.needs_mfa and not actor.auth.mfa and event.outcome == Outcome.SUCCESS and _could_prove(actor):
        raise MfaRequired(f"{event.action} needs a second factor")
    sealed = enclose(event, actor=actor, at=at)
    if len(sealed.payload) > MAX_PAYLOAD:
        raise PayloadTooLarge(f"{event.action}: {len(sealed.payload)} bytes, at most {MAX_PAYLOAD}")
    if len(sealed.body) > MAX_PRIVATE:
        raise PayloadTooLarge(f"{event.action}: {len(sealed.body)} private bytes, at most {MAX_PRIVATE}")
    kind = find_secret(sealed.payload + b"\n" + sealed.body)
    if kind is not None:
        raise SecretBlocked(kind, action=event.action, target_type=event.target_type)
    return sealed


def _could_prove(actor: Actor) -> bool:
    """People and programs act over the network and must prove themselves; jobs, the system and the shell cannot."""
    return actor.kind in (ActorKind.PERSON, ActorKind.PROGRAM)
