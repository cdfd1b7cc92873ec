"""Read and write the rows of sessions. A session key is hashed before it gets here or on the way in, never stored."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BooleanField, Case, QuerySet, Value, When
from django.db.models.functions import Now

from audit.actor import Actor
from keys.crypto import base64url
from keys.crypto.errors import Malformed
from keys.crypto.session_hash import session_hash, session_hashes
from keys.models import Person, Session
from keys.people.session_ends import REPLACED, end_session, has_ended, refuse_put_back
from keys.sealing import keyring
from keys.states import SessionKind

PURPOSE = "session"
CHALLENGE_PERIOD = timedelta(minutes=5)
PENDING_PERIOD = timedelta(minutes=15)
# How exact "last seen" is; a write at every call would only wear the database.
SEEN_STEP = timedelta(minutes=1)
DEAD_AFTER = timedelta(days=1)
LONGEST_KEY = 200


def new_session_key() -> str:
    """Make 256 random bits for a cookie."""
    return secrets.token_urlsafe(32)


def _hashes(key: str) -> tuple[str, ...]:
    return session_hashes(key, purpose=PURPOSE, keyring=keyring()) if 0 < len(key) <= LONGEST_KEY else ()


def find_session(key: str) -> Session | None:
    """Return the living session of a presented key and note that it was seen."""
    try:
        hashes = _hashes(key)
    except UnicodeError:
        return None
    seen_long_ago = Case(
        When(last_seen_at__lt=Now() - SEEN_STEP, then=Value(value=True)),
        default=Value(value=False),
        output_field=BooleanField(),
    )
    browsers = Session.objects.living().filter(kind=str(SessionKind.BROWSER))
    living: QuerySet[Session] = browsers.filter(key_hash__in=hashes)
    row = living.annotate(seen_long_ago=seen_long_ago, has_ended=has_ended()).select_related("person").first()
    if row is not None and row.has_ended:
        refuse_put_back(row, actor=Actor.system("sessions"))
        return None
    if row is not None and row.seen_long_ago:
        Session.objects.filter(pk=row.pk).update(last_seen_at=Now())
    return row


def open_session(key: str, content: str) -> Session:
    """Write a new session of nobody."""
    row = Session(key_hash=session_hash(key, purpose=PURPOSE, keyring=keyring()), content=content)
    row.created_at = row.last_seen_at = Now()
    row.save(force_insert=True)
    row.refresh_from_db()
    return row


def write_content(key: str, content: str) -> bool:
    """Keep Django's dictionary; False when the session has ended meanwhile and must not come back."""
    return bool(Session.objects.filter(key_hash__in=_hashes(key)).update(content=content))


def delete_session(key: str) -> None:
    """End the session of a key, whose browser begins anew or forgets it."""
    for row in Session.objects.filter(key_hash__in=_hashes(key)):
        end_session(row, actor=Actor.system("sessions"), reason=REPLACED)


def rotate_session(row: Session, key: str, **columns: Any) -> bool:
    """Give a session a new key and change columns with it, in one statement (Any: columns differ in type).

    False when the session has ended, or got another key a moment ago.
    """
    changed = Session.objects.filter(pk=row.pk, key_hash=row.key_hash).update(
        key_hash=session_hash(key, purpose=PURPOSE, keyring=keyring()),
        must_rotate=False,
        last_seen_at=Now(),
        **columns,
    )
    if changed:
        row.refresh_from_db()
    return bool(changed)


def set_pending(row: Session, person: Person, stage: str) -> None:
    """Note that the password of `person` was right; it opens only the page of the next step, for a few minutes."""
    Session.objects.filter(pk=row.pk).update(
        pending_person=person, pending_stage=stage, pending_until=Now() + PENDING_PERIOD
    )
    row.refresh_from_db()


def pending_person(row: Session, stage: str) -> Person | None:
    """Return who stands at `stage` of signing in, if that is not too long ago and they may still sign in."""
    standing = Session.objects.filter(
        pk=row.pk, pending_stage=stage, pending_until__gt=Now(), pending_person__is_active=True
    ).select_related("pending_person")
    found = standing.first()
    return found.pending_person if found else None


def put_challenge(row: Session, purpose: str) -> bytes:
    """Make a WebAuthn challenge for this session and purpose; an earlier one is void."""
    challenge = secrets.token_bytes(32)
    Session.objects.filter(pk=row.pk).update(
        challenge=base64url.encode(challenge), challenge_purpose=purpose, challenge_until=Now() + CHALLENGE_PERIOD
    )
    return challenge


def take_challenge(row: Session, purpose: str) -> bytes | None:
    """Take the challenge, once: of two that come at the same time, one gets nothing."""
    waiting = Session.objects.filter(pk=row.pk, challenge_purpose=purpose, challenge_until__gt=Now())
    challenge = waiting.exclude(challenge="").values_list("challenge", flat=True).first()
    if challenge is None or not waiting.filter(challenge=challenge).update(challenge=""):
        return None
    try:
        return base64url.decode(challenge)
    except Malformed:
        return None


def add_step_up(steps: list[dict[str, str]], *, purpose: str, method: str, at: datetime) -> list[dict[str, str]]:
    """Return the step-ups of a session with a fresh one; of each purpose the latest counts."""
    kept = [step for step in steps if step.get("purpose") != purpose]
    return [*kept, {"purpose": purpose, "method": method, "at": at.isoformat()}]


def forget_dead_sessions() -> int:
    """Delete sessions that nobody has used for longer than any limit (housekeeping; the query refuses them already)."""
    gone, _ = Session.objects.filter(last_seen_at__lt=Now() - DEAD_AFTER).delete()
    return gone
