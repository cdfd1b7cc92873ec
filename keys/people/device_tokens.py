"""Give a machine that was allowed its token, once, and know the person behind a token that is presented."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.crypto import constant_time_compare

from audit import clock
from audit.actor import Actor
from audit.events import Event
from audit.log import record
from audit.models import AuditEvent
from keys.crypto.key_text import mint_token
from keys.crypto.secrets import Secret
from keys.events import DeviceCodeReused, DeviceRefused, DeviceRowRefused, DeviceSignedIn, DeviceSignInEnded
from keys.models import DeviceSignIn, Person, Session
from keys.operations import operation
from keys.people.device_rows import DEVICE_CODE, DEVICE_TOKEN, hash_of, hashes_of, is_genuine, mac_of
from keys.people.device_sign_ins import refuse_row, token_period, write_sign_in
from keys.people.session_ends import CODE_REUSED, SIGNED_OUT, end_session, has_ended, refuse_put_back, session_name
from keys.people.session_table import SEEN_STEP
from keys.policy.device_rules import DEVICE
from keys.states import SessionKind

# RFC 8628, section 3.5: every poll that comes too soon makes the pause longer. No pause outlasts the code.
SLOWER_BY: Final = 5
LONGEST_INTERVAL: Final = 600
REUSE_PERIOD: Final = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Granted:
    """A session of a device with its token, which is handed over now and never again."""

    session: Session
    token: Secret = field(repr=False)


@operation
def redeem_device_code(presented: str, *, actor: Actor) -> Granted | str:
    """Answer a machine that polls: its token, or in the words of RFC 8628, section 3.5, why there is none.

    How often it polled must be kept, so a no is answered and not raised.
    """
    hashes = hashes_of(presented, purpose=DEVICE_CODE)
    row = DeviceSignIn.objects.filter(device_hash__in=hashes).select_for_update(no_key=True).first()
    at = clock.now()
    if row is None or not token_period():
        return "invalid_grant"
    # A yes that was taken back fits its MAC when SQL brings it again.
    taken_back = _told(row, DeviceSignInEnded).exists() or (row.is_allowed and _told(row, DeviceRefused).exists())
    if taken_back or not is_genuine(row):
        refuse_row(row, actor=actor)
        return "invalid_grant"
    given = _given(row)
    if row.redeemed_at is not None or given:
        ended = _end_what_it_gave(row, given, actor=actor)
        # Once a minute where nothing ends: a program that asks without a pause would fill a log that nobody can shorten.
        if ended or not _told(row, DeviceCodeReused).filter(occurred_at__gt=at - REUSE_PERIOD).exists():
            reused = DeviceCodeReused(target_id=str(row.pk), person=str(row.person_id), session=ended)
            record(reused, actor=actor, at=at)
        return "invalid_grant"
    why_not = _why_not(row, at=at)
    if why_not:
        return why_not
    person = Person.objects.active().filter(pk=row.person_id).first()
    return _grant(row, person, actor=actor, at=at) if person is not None else "access_denied"


def _given(row: DeviceSignIn) -> set[str]:
    """Name what a sign-in opened, by the log: an earlier row that was put back by SQL fits its MAC, and gave its token all the same."""
    told = _told(row, DeviceSignedIn).values_list("payload", flat=True)
    return {json.loads(bytes(payload))["details"]["session"] for payload in told}


def _told(row: DeviceSignIn, kind: type[Event]) -> QuerySet[AuditEvent]:
    """What the log says of a sign-in."""
    return AuditEvent.objects.of_target("device-sign-in", str(row.pk)).with_action(kind.action)


def _end_what_it_gave(row: DeviceSignIn, names: Collection[str], *, actor: Actor) -> str:
    """End the session of a code that came twice: the token is with whoever was first, and nobody knows that it is who was allowed.

    Where an answer was lost, nobody has the token, and it is of no use to anybody (RFC 6749, sections 4.1.2 and 10.5).
    """
    devices = Session.objects.filter(kind=str(SessionKind.DEVICE), person=row.person)
    found = [each for each in devices if session_name(each) in names]
    ended = [session_name(each) for each in found if end_session(each, actor=actor, reason=CODE_REUSED)]
    return ended[0] if ended else ""


def _why_not(row: DeviceSignIn, *, at: datetime) -> str:
    if row.decided_at is not None and not row.is_allowed:
        return "access_denied"
    if row.expires_at <= at:
        return "expired_token"
    return _pending(row, at=at) if row.decided_at is None else ""


def _pending(row: DeviceSignIn, *, at: datetime) -> str:
    pause = timedelta(seconds=row.interval_seconds)
    if row.polled_at is not None and at < row.polled_at + pause:
        slower = min(row.interval_seconds + SLOWER_BY, LONGEST_INTERVAL)
        DeviceSignIn.objects.filter(pk=row.pk).update(interval_seconds=slower, polled_at=at)
        return "slow_down"
    DeviceSignIn.objects.filter(pk=row.pk).update(polled_at=at)
    return "authorization_pending"


def _grant(row: DeviceSignIn, person: Person, *, actor: Actor, at: datetime) -> Granted:
    write_sign_in(row, redeemed_at=at)
    token = mint_token()
    session = Session(
        kind=str(SessionKind.DEVICE),
        key_hash=hash_of(token.secret, purpose=DEVICE_TOKEN),
        kid=token.kid,
        name=row.name,
        person=person,
        created_at=at,
        last_seen_at=at,
        signed_in_at=at,
        ends_at=at + token_period(),
        ip=row.ip,
        user_agent=row.user_agent,
        methods=[*row.methods, DEVICE],
        device=row.device,
        assurance=row.assurance,
        auth_hash=person.get_session_auth_hash(),
    )
    session.save(force_insert=True)
    session.refresh_from_db()  # an address is covered as the database writes it
    session.row_mac = mac_of(session)
    Session.objects.filter(pk=session.pk).update(row_mac=session.row_mac)
    signed_in = DeviceSignedIn(
        target_id=str(row.pk),
        person=str(person.pk),
        session=session_name(session),
        kid=token.kid,
        name=row.name,
    )
    record(signed_in, actor=replace(actor, id=str(person.pk), name=person.name), at=at)
    return Granted(session=session, token=token.secret)


def find_device_session(presented: str) -> Session | None:
    """Return the living session that a token opens, and note that it was seen; None for anything else.

    The setting counts for tokens of before as well: whoever shortens it, or turns it off, ends them.
    """
    hashes = hashes_of(presented, purpose=DEVICE_TOKEN)
    living = Session.objects.living().filter(kind=str(SessionKind.DEVICE), key_hash__in=hashes)
    in_time: QuerySet[Session] = living.filter(signed_in_at__gt=Now() - token_period())
    row = in_time.annotate(has_ended=has_ended()).select_related("person").first()
    if row is None or row.person is None:
        return None
    if row.has_ended:
        refuse_put_back(row, actor=Actor.system("device-tokens"))
        return None
    if not is_genuine(row):
        end_changed_session(row, actor=Actor.system("device-tokens"))
        return None
    if not constant_time_compare(row.auth_hash, row.person.get_session_auth_hash()):
        return None
    Session.objects.filter(pk=row.pk, last_seen_at__lt=Now() - SEEN_STEP).update(last_seen_at=Now())
    return row


def end_token(presented: str, *, actor: Actor) -> None:
    """End the session of a token, living or not, in the name of its person, for whoever holds it (RFC 7009).

    Whose it is and that it lives is asked of MAC and log: nobody is put on record by a row that SQL changed or brought back.
    """
    hashes = hashes_of(presented, purpose=DEVICE_TOKEN)
    devices: QuerySet[Session] = Session.objects.filter(kind=str(SessionKind.DEVICE), key_hash__in=hashes)
    row = devices.annotate(has_ended=has_ended()).select_related("person").first()
    if row is None or row.person is None:
        return
    if row.has_ended:
        refuse_put_back(row, actor=actor)
    elif not is_genuine(row):
        end_changed_session(row, actor=actor)
    else:
        end_session(row, actor=replace(actor, id=str(row.person.pk), name=row.person.name), reason=SIGNED_OUT)


@operation
def end_changed_session(row: Session, *, actor: Actor) -> None:
    """End a session whose row somebody changed by SQL, on record."""
    if Session.objects.filter(pk=row.pk).delete()[0]:
        record(DeviceRowRefused(target_id=session_name(row), reason="session"), actor=actor, at=clock.now())


def forget_device_sign_ins(*, before: datetime) -> int:
    """Delete what was begun before then and is over; what came of it is in the log."""
    return DeviceSignIn.objects.filter(expires_at__lt=before).delete()[0]
