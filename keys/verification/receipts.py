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
from audit.bound import bound_cursor
from keys.doorbell import ring
from keys.models import ManagedKey, RevocationReceipt
from keys.verification import lease
from keys.verification.loading import told_time

LOOKS: Final = (0.002, 0.02)  # seconds between two looks at the leases: the first, and the longest
_CHANGES: Final = """
SELECT array_agg(DISTINCT txid::text) FROM keys_verificationchange WHERE managed_key_id = ANY(%s)
"""
# `ends` is by the lease that stands now, and by any longer one before it (keys.verification.lease): a later one is only
# served under after a look, which shows the stop. Of changes that are not known any more nobody has said that they have them.
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
    waiting = _Waiting(keys)
    ring()
    pause, longest_pause = LOOKS
    while waiting.goes_on:
        try:
            waiting.look()
        except (OperationalError, InterfaceError) as error:
            # The stop stands in the database, and who has it cannot be asked: only time tells then.
            _log.warning("leases not readable", exc_info=error)
            connection.close_if_unusable_or_obsolete()
            pause = longest_pause
        if waiting.goes_on:
            time.sleep(min(pause, waiting.soonest))
            pause = min(pause * 1.3, longest_pause)
    return waiting.told()


class _Waiting:
    """Whom a stop still waits for, and for how long at most: by the leases once they were read, until then by the longest there is."""

    def __init__(self, keys: Collection[ManagedKey]) -> None:
        self._words: list[Word] = []
        self._keys = [key.pk for key in keys]
        self._places: dict[str, Any] = {
            "environments": sorted({str(key.environment_id) for key in keys}),
            "services": sorted({str(key.service_id) for key in keys}),
        }
        self._changes: list[str] = []
        self._leases: dict[UUID, _Lease] | None = None
        # By our clock. What an environment says today is no measure: a lease of before may be longer.
        self._over_at = lease.clock() + lease.LONGEST
        self.soonest = lease.LONGEST  # seconds until the next lease runs out

    @property
    def goes_on(self) -> bool:
        return self._leases != {} and lease.clock() < self._over_at

    def look(self) -> None:
        """Ask who has it now, and cross out whose lease has ended or who said so."""
        if self._leases is None:
            self._begin()
        waited_for = self._leases
        assert waited_for is not None
        now = {each.verifier: each for each in self._read()} if waited_for else {}
        at = clock.now()
        for verifier, first in list(waited_for.items()):
            how = _outcome(first, now.get(verifier), at=at)
            if how is not None:
                del waited_for[verifier]
                self._words.append(Word(verifier=str(verifier), name=first.name, how=how, at=told_time(at) or ""))
        self._measure(at)

    def told(self) -> list[Word]:
        """What is known in the end; who could not be asked any more had a lease, and it has ended by our clock."""
        ended = [
            Word(verifier=str(each.verifier), name=each.name, how=How.LEASE_ENDED, at=told_time(each.ends) or "")
            for each in (self._leases or {}).values()
        ]
        return self._words + ended

    def _begin(self) -> None:
        with bound_cursor() as cursor:
            cursor.execute(_CHANGES, [self._keys])
            self._changes = cursor.fetchone()[0] or []
        at = clock.now()
        leases = [each for each in self._read() if each.stopped_at is None and each.ends > at]
        self._leases = {each.verifier: each for each in leases}
        self._measure(at)

    def _measure(self, at: datetime) -> None:
        """Say until when somebody may still answer, by a clock of ours: the database may be away when it strikes."""
        left = [(each.ends - at) / timedelta(seconds=1) for each in (self._leases or {}).values()]
        self.soonest = max(0.001, min(left, default=0.0))
        self._over_at = lease.clock() + max(left, default=0.0) + lease.MARGIN

    def _read(self) -> list[_Lease]:
        return _leases(self._places, self._changes)


def _outcome(first: _Lease, now: _Lease | None, *, at: datetime) -> How | None:
    if now is not None and now.has_it:
        return How.ACKNOWLEDGED
    if now is not None and now.stopped_at is not None:
        return How.STOPPED
    return How.LEASE_ENDED if at >= first.ends else None


def _leases(places: dict[str, Any], changes: Sequence[str]) -> list[_Lease]:
    with bound_cursor() as cursor:
        cursor.execute(_LEASES, {**places, "changes": list(changes)})
        rows = cursor.fetchall()
    return [
        _Lease(verifier=verifier, name=name, ends=ends, stopped_at=stopped_at, has_it=bool(has_it))
        for verifier, name, ends, stopped_at, has_it in rows
    ]
