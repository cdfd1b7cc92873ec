"""Answer a stop only when it has arrived: wait until every verifier with a living lease has it, or its lease has run out."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection

from audit import clock
from keys.doorbell import ring
from keys.models import ManagedKey, RevocationReceipt
from keys.verification.loading import told_time

LOOKS: Final = (0.002, 0.05)  # seconds between two looks at the leases: the first, and the longest
_CHANGES: Final = """
SELECT array_agg(DISTINCT txid::text) FROM keys_verificationchange
WHERE managed_key_id = ANY(%s) AND at > clock_timestamp() - interval '5 minutes'
"""
# `ends` is by the lease that stands now: a later one is only served under after a look, which shows the stop.
_LEASES: Final = """
SELECT v.id, v.name,
       v.renewed_at + (SELECT max((v.terms ->> e)::double precision) FROM unnest(%(environments)s::text[]) e) * interval '1 millisecond',
       v.stopped_at,
       (SELECT bool_and(pg_visible_in_snapshot(t::xid8, v.applied::pg_snapshot)) FROM unnest(%(changes)s::text[]) t)
FROM keys_verifier v
WHERE v.valid_until > clock_timestamp() - interval '1 minute' AND v.terms ?| %(environments)s::text[]
  AND (v.environment_id IS NULL OR v.environment_id::text = ANY(%(environments)s::text[]))
  AND (v.service_id IS NULL OR v.service_id::text = ANY(%(services)s::text[]))
"""
_log = structlog.get_logger("keystead.verification")


class How(StrEnum):
    """How it is known that a verifier no longer accepts what was stopped."""

    ACKNOWLEDGED = "acknowledged"
    LEASE_ENDED = "lease-ended"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Word:
    """What is known of one verifier, and since when."""

    verifier: str
    name: str
    how: How
    at: str


@dataclass(frozen=True, kw_only=True)
class _Lease:
    verifier: UUID
    name: str
    ends: datetime
    stopped_at: datetime | None
    has_it: bool


def stop_with_receipt(key: ManagedKey, *, action: str) -> RevocationReceipt:
    """Wait until a stop of `key` that has been committed is everywhere, and keep the receipt. Call it after the commit."""
    return stop_with_receipts([key], action=action)[0]


def stop_with_receipts(keys: Sequence[ManagedKey], *, action: str) -> list[RevocationReceipt]:
    """The same for many keys that were stopped at once: one wait for all of them."""
    committed_at = clock.now()
    words = [asdict(word) for word in wait_until_everywhere(keys)]
    answered_at = clock.now()
    return RevocationReceipt.objects.bulk_create(
        RevocationReceipt(
            managed_key=key, action=action, committed_at=committed_at, answered_at=answered_at, verifiers=words
        )
        for key in keys
    )


def stop_listed(numbers: Sequence[int]) -> list[RevocationReceipt]:
    """The same for the keys of an emergency, by their numbers."""
    keys = ManagedKey.objects.filter(number__in=numbers).select_related("environment").order_by("number")
    return stop_with_receipts(list(keys), action="emergency")


def wait_until_everywhere(keys: Collection[ManagedKey]) -> list[Word]:
    """Wait until no verifier can accept what was changed of these keys; longest as long as the longest lease."""
    places: dict[str, Any] = {
        "environments": sorted({str(key.environment_id) for key in keys}),
        "services": sorted({str(key.service_id) for key in keys}),
    }
    longest = max((key.environment.max_staleness_ms for key in keys), default=0) / 1000
    ring()
    try:
        return _wait([key.pk for key in keys], places)
    except (OperationalError, InterfaceError) as error:
        # The stop stands in the database, and who has it cannot be asked: every lease of before has ended after this.
        _log.warning("leases not readable", exc_info=error)
        time.sleep(longest)
        return []


def _wait(keys: Sequence[UUID], places: dict[str, Any]) -> list[Word]:
    with connection.cursor() as cursor:
        cursor.execute(_CHANGES, [list(keys)])
        changes = cursor.fetchone()[0] or []
    at = clock.now()
    waited_for = {
        each.verifier: each for each in _leases(places, changes) if each.stopped_at is None and each.ends > at
    }
    words: list[Word] = []
    pause, longest_pause = LOOKS
    while waited_for:
        now = {each.verifier: each for each in _leases(places, changes)}
        at = clock.now()
        for verifier, first in list(waited_for.items()):
            how = _outcome(first, now.get(verifier), at=at)
            if how is not None:
                del waited_for[verifier]
                words.append(Word(verifier=str(verifier), name=first.name, how=how, at=told_time(at) or ""))
        if waited_for:
            soonest = min(each.ends for each in waited_for.values()) - at
            time.sleep(max(0.001, min(pause, soonest / timedelta(seconds=1))))
            pause = min(pause * 1.3, longest_pause)
    return words


def _outcome(first: _Lease, now: _Lease | None, *, at: datetime) -> How | None:
    if now is not None and now.has_it:
        return How.ACKNOWLEDGED
    if now is None or now.stopped_at is not None:
        return How.STOPPED
    return How.LEASE_ENDED if at >= first.ends else None


def _leases(places: dict[str, Any], changes: Sequence[str]) -> list[_Lease]:
    with connection.cursor() as cursor:
        cursor.execute(_LEASES, {**places, "changes": list(changes)})
        rows = cursor.fetchall()
    return [
        _Lease(verifier=verifier, name=name, ends=ends, stopped_at=stopped_at, has_it=bool(has_it) or not changes)
        for verifier, name, ends, stopped_at, has_it in rows
    ]
