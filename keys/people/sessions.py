"""End sessions, or give them a new key, when what they stand for changes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q

from audit.actor import Actor
from keys.models import Session
from keys.people.device_sign_ins import end_sign_ins_of
from keys.people.session_ends import RIGHTS_CHANGED, WITH_ALL, end_rows
from keys.states import SessionKind


def end_sessions_of(person_id: UUID, *, actor: Actor, at: datetime, but: UUID | None = None) -> int:
    """End all sessions of a person, also half-open ones and those of devices, except `but`; return how many.

    First what devices may still take a token for: one that is taking it now is waited for, and found among the sessions.
    """
    end_sign_ins_of(person_id, actor=actor, at=at)
    sessions = Session.objects.filter(Q(person_id=person_id) | Q(pending_person_id=person_id))
    sessions = sessions.order_by("pk")  # two that end the same ones wait for each other in one order
    return end_rows(sessions if but is None else sessions.exclude(pk=but), actor=actor, at=at, reason=WITH_ALL)


def rotate_sessions_of(person_id: UUID, *, actor: Actor, at: datetime) -> int:
    """Let every session of a person get a new key at its next call and forget its step-ups: the rights changed.

    A device cannot be handed a new key unasked, so its session ends.
    """
    end_sign_ins_of(person_id, actor=actor, at=at)
    devices = Session.objects.filter(person_id=person_id, kind=str(SessionKind.DEVICE)).order_by("pk")
    end_rows(devices, actor=actor, at=at, reason=RIGHTS_CHANGED)
    return Session.objects.filter(person_id=person_id).update(must_rotate=True, step_ups=[])
