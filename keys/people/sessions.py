"""End sessions, or give them a new key, when what they stand for changes."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q

from keys.models import Session


def end_sessions_of(person_id: UUID, *, but: UUID | None = None) -> int:
    """End all sessions of a person, also half-open ones, except `but`; return how many."""
    sessions = Session.objects.filter(Q(person_id=person_id) | Q(pending_person_id=person_id))
    ended, _ = (sessions if but is None else sessions.exclude(pk=but)).delete()
    return ended


def rotate_sessions_of(person_id: UUID) -> int:
    """Let every session of a person get a new key at its next call and forget its step-ups: the rights changed."""
    return Session.objects.filter(person_id=person_id).update(must_rotate=True, step_ups=[])
