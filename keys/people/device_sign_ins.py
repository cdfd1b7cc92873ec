"""Let a machine ask to be signed in, and a person in a browser answer it (RFC 8628)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from audit import clock
from audit.actor import Actor
from audit.log import record, record_many
from keys import text
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Denied, Gone, TooMany
from keys.events import (
    DeviceAllowed,
    DeviceCodeEntered,
    DeviceCodeRefused,
    DeviceRefused,
    DeviceRowRefused,
    DeviceSignInBegun,
    DeviceSignInEnded,
)
from keys.models import DeviceCodeTries, DeviceSignIn, Person
from keys.models.devices import LONGEST_NAME
from keys.operations import locked, operation
from keys.people.device_rows import (
    CODE_LENGTH,
    DEVICE_CODE,
    LETTERS,
    USER_CODE,
    canonical_user_code,
    hash_of,
    hashes_of,
    is_genuine,
    mac_of,
)
from keys.people.proofs import Refusal
from keys.people.standing import standing_of
from keys.people.tries import count_failure, is_closed, locked_tries
from keys.policy.device_rules import may_allow_device, may_answer_device
from keys.policy.enforcement import enforce

CODE_PERIOD: Final = timedelta(minutes=10)
LONGEST_TOKEN_PERIOD: Final = timedelta(hours=8)
# Whoever asks is nobody yet: what waits at once is bounded, from one address and in all (a guess meets at most so many codes).
MOST_FROM_ONE_ADDRESS: Final = 10
MOST_IN_ALL: Final = 500
MOST_WRONG_CODES: Final = 5
_ONE_BY_ONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('device sign-ins', 0))"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A sign-in with the codes that were just made for it: one for the machine, one for people to read and type."""

    sign_in: DeviceSignIn
    device_code: Secret = field(repr=False)
    user_code: Secret = field(repr=False)


def token_period() -> timedelta:
    """How long a device may stay signed in; nothing when the operator offers no such sign-in."""
    return max(timedelta(), min(timedelta(hours=settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS), LONGEST_TOKEN_PERIOD))


@operation
def begin_device_sign_in(name: str, *, actor: Actor) -> Begun:
    """Let a machine that calls itself `name`, or "" if nothing, wait for somebody to answer it; TooMany when too many wait already."""
    if not token_period():
        raise Gone("device_sign_in_off")
    # RFC 8628 knows no name, so plain clients give none; then none is made up, which people would take for the machine's own.
    shown = text.line(name, "device_name", most=LONGEST_NAME) if name else ""
    with connection.cursor() as cursor:
        cursor.execute(_ONE_BY_ONE)  # or many at once would count the same few
    at = clock.now()
    recent = DeviceSignIn.objects.filter(created_at__gt=at - CODE_PERIOD)
    address = actor.http.ip or None
    if recent.filter(ip=address).count() >= MOST_FROM_ONE_ADDRESS or recent.count() >= MOST_IN_ALL:
        raise TooMany("too_many_device_sign_ins")
    device_code = Secret(secrets.token_urlsafe(32))
    user_code = _free_code()
    row = DeviceSignIn(
        created_at=at,
        expires_at=at + CODE_PERIOD,
        device_hash=hash_of(device_code, purpose=DEVICE_CODE),
        code_hash=hash_of(user_code, purpose=USER_CODE),
        name=shown,
        ip=address,
        user_agent=actor.http.user_agent,
    )
    row.save(force_insert=True)
    row.refresh_from_db()  # an address is covered as the database writes it
    write_sign_in(row)
    record(DeviceSignInBegun(target_id=str(row.pk), name=shown), actor=actor, at=at)
    return Begun(sign_in=row, device_code=device_code, user_code=user_code)


def _free_code() -> Secret:
    while True:
        code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        if not DeviceSignIn.objects.filter(code_hash__in=hashes_of(code, purpose=USER_CODE)).exists():
            return Secret(code)


@operation
def enter_code(person: Person, typed: str, *, actor: Actor) -> DeviceSignIn | Refusal:
    """Find the machine that shows the code a person typed, for nobody else to answer from now on.

    A wrong one is counted and committed, so it is answered with a Refusal: device_code_form (no guess, so not counted), wrong or locked.
    """
    tries = locked_tries(DeviceCodeTries, person.pk)
    at = clock.now()
    enforce(may_answer_device(actor, standing_of(actor, at=at), person_id=person.pk))
    if is_closed(tries, most=MOST_WRONG_CODES, at=at):
        return Refusal(code="locked")
    code = canonical_user_code(typed)
    if not code:
        return Refusal(code="device_code_form")
    waiting = DeviceSignIn.objects.filter(Q(person=None) | Q(person=person), decided_at=None, expires_at__gt=at)
    found = waiting.filter(code_hash__in=hashes_of(code, purpose=USER_CODE)).select_for_update(no_key=True).first()
    if found is not None and not is_genuine(found):
        refuse_row(found, actor=actor)
        found = None
    if found is None or not token_period():
        is_new_lock = count_failure(tries, most=MOST_WRONG_CODES, at=at)
        reason = "locked" if is_new_lock else "wrong"
        record(DeviceCodeRefused(target_id=str(person.pk), reason=reason), actor=actor, at=at)
        return Refusal(code=reason, is_new_lock=is_new_lock)
    if found.person_id is None:
        write_sign_in(found, person_id=person.pk)
        record(DeviceCodeEntered(target_id=str(found.pk), person=str(person.pk)), actor=actor, at=at)
    return found


@operation
def allow_device(sign_in: DeviceSignIn, *, actor: Actor) -> DeviceSignIn:
    """Allow that a machine acts as the person who typed its code: it may take its token now."""
    sign_in = locked(sign_in)
    at = clock.now()
    who = standing_of(actor, at=at)
    enforce(may_allow_device(actor, who, person_id=sign_in.person_id, sign_in_id=sign_in.pk, at=at))
    _refuse_unless_open(sign_in, actor=actor)
    write_sign_in(
        sign_in,
        decided_at=at,
        is_allowed=True,
        methods=list(actor.auth.methods),
        device=actor.auth.device,
        assurance=actor.auth.assurance,
    )
    record(DeviceAllowed(target_id=str(sign_in.pk), person=actor.id, name=sign_in.name), actor=actor, at=at)
    return sign_in


@operation
def deny_device(sign_in: DeviceSignIn, *, actor: Actor) -> DeviceSignIn:
    """Say no to a machine, also after a yes while it has not taken its token: whoever sent the code may take their time over that.

    It only takes away, so it needs no presence.
    """
    sign_in = locked(sign_in)
    at = clock.now()
    enforce(may_answer_device(actor, standing_of(actor, at=at), person_id=sign_in.person_id))
    if not waits_for_its_token(sign_in, at=at):
        _refuse_unless_open(sign_in, actor=actor)
    write_sign_in(sign_in, decided_at=at, is_allowed=False)
    record(DeviceRefused(target_id=str(sign_in.pk), person=actor.id, name=sign_in.name), actor=actor, at=at)
    return sign_in


def waits_for_its_token(sign_in: DeviceSignIn, *, at: datetime) -> bool:
    """Whether a machine was allowed and may take its token, which it has not done yet."""
    waits = sign_in.is_allowed and sign_in.redeemed_at is None and sign_in.expires_at > at
    return waits and is_genuine(sign_in)


def _refuse_unless_open(sign_in: DeviceSignIn, *, actor: Actor) -> None:
    if not is_genuine(sign_in):
        raise Denied("device_row_changed", rule="device.integrity")
    if sign_in.decided_at is not None:
        raise Conflict("device_answered")
    if sign_in.expires_at <= clock.now() or not token_period():
        raise Gone("device_sign_in_over")


def refuse_row(row: DeviceSignIn, *, actor: Actor) -> None:
    """Delete a row that somebody changed by SQL, on record, inside an operation that opens nothing with it."""
    if DeviceSignIn.objects.filter(pk=row.pk).delete()[0]:
        record(DeviceRowRefused(target_id=str(row.pk), reason="sign-in"), actor=actor, at=clock.now())


def write_sign_in(sign_in: DeviceSignIn, **columns: Any) -> None:
    """Change columns of a locked row, and its MAC with them (Any: columns differ in type)."""
    for name, value in columns.items():
        setattr(sign_in, name, value)
    DeviceSignIn.objects.filter(pk=sign_in.pk).update(**columns, row_mac=mac_of(sign_in))
    sign_in.refresh_from_db()


def end_sign_ins_of(person_id: UUID, *, actor: Actor, at: datetime) -> None:
    """Forget what a person began to answer, allowed or not: a machine that has no token yet gets none."""
    end_sign_ins(DeviceSignIn.objects.filter(person_id=person_id), actor=actor, at=at)


def end_sign_ins(sign_ins: QuerySet[DeviceSignIn], *, actor: Actor, at: datetime) -> None:
    """Forget sign-ins, and tell it of those that could still give a token: a row that is put back gives none."""
    rows = list(sign_ins.order_by("pk").select_for_update())
    waiting = [row for row in rows if row.redeemed_at is None and row.expires_at > at]
    DeviceSignIn.objects.filter(pk__in=[row.pk for row in rows]).delete()
    ends = [DeviceSignInEnded(target_id=str(row.pk), person=str(row.person_id or "")) for row in waiting]
    record_many(ends, actor=actor, at=at)
