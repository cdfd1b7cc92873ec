"""End a session on record, and know one again that comes back: what the log says has ended opens nothing, whatever its row says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.db.models import CharField, Exists, Func, OuterRef, QuerySet

from audit import clock
from audit.actor import Actor
from audit.log import record, record_many
from audit.models import AuditEvent
from keys.events import SessionEnded, SessionRefused
from keys.models import Session
from keys.operations import operation

# Why a session ended. What happened to its person, when all of theirs did, stands beside it in the log.
ENDED_BY_OWNER: Final = "ended-by-owner"
SIGNED_OUT: Final = "signed-out"
REPLACED: Final = "replaced"
WITH_ALL: Final = "with-all"
RIGHTS_CHANGED: Final = "rights-changed"
CODE_REUSED: Final = "code-reused"
PUT_BACK: Final = "put-back"

_DOMAIN: Final = b"keystead session name v1\x00"
_LENGTH: Final = 32


def session_name(row: Session) -> str:
    """Name a session in the log: the same over all its keys, and no way back to any of them."""
    return hashlib.sha256(_DOMAIN + row.pk.bytes).hexdigest()[:_LENGTH]


class SessionName(Func):
    """The same, made by the database."""

    template = f"left(encode(sha256(decode('{_DOMAIN.hex()}', 'hex') || uuid_send(%(expressions)s)), 'hex'), {_LENGTH})"
    output_field = CharField()


def has_ended() -> Exists:
    """Say of each session of a query whether the log has its end: then somebody put its row back by SQL."""
    return Exists(_ends().filter(target_id=SessionName(OuterRef("pk"))))


def _ends() -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(target_type=SessionEnded.target_type, action=SessionEnded.action)


@operation
def end_session(session: Session, *, actor: Actor, reason: str = ENDED_BY_OWNER) -> bool:
    """End one session; the browser or device that holds it is signed out at its next call. False when it was gone already."""
    return bool(end_rows(Session.objects.filter(pk=session.pk), actor=actor, at=clock.now(), reason=reason))


def end_rows(sessions: Iterable[Session], *, actor: Actor, at: datetime, reason: str) -> int:
    """End sessions inside an operation; returns how many. Of those that nobody began to sign in to, nothing is told.

    A session ends once: one whose end the log has already was put back by SQL, and that is told of it.
    """
    gone: dict[str, str] = {}
    for row in sessions:
        deleted, _ = Session.objects.filter(
            pk=row.pk
        ).delete()  # waits for whoever ends it too, and one of the two tells
        person = row.person_id or row.pending_person_id
        if deleted and person is not None:
            gone[session_name(row)] = str(person)
    if gone:
        put_back = set(_ends().filter(target_id__in=gone).values_list("target_id", flat=True))
        record_many(
            [
                SessionRefused(target_id=name, reason=PUT_BACK, person=person)
                if name in put_back
                else SessionEnded(target_id=name, reason=reason, person=person)
                for name, person in gone.items()
            ],
            actor=actor,
            at=at,
        )
    return len(gone)


@operation
def refuse_put_back(session: Session, *, actor: Actor) -> None:
    """Delete a session that has ended and is here again, on record."""
    if Session.objects.filter(pk=session.pk).delete()[0]:
        person = str(session.person_id or session.pending_person_id or "")
        refused = SessionRefused(target_id=session_name(session), reason=PUT_BACK, person=person)
        record(refused, actor=actor, at=clock.now())
