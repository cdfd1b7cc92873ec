"""Answer a stop only when it has arrived: wait until every verifier with a living lease has it, or its lease has run out."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError, connection

from audit import clock
from audit.bound import bound_cursor
from keys.doorbell import ring
from keys.models import ManagedKey, RevocationReceipt
from keys.verification.memory import lease
from keys.verification.memory.loading import told_time

LOOKS: Final = (0.004, 0.02)  # seconds between two looks at the leases: while word comes in, and the longest
_CHANGES: Final = """
SELECT array_agg(DISTINCT txid::text) FROM keys_verificationchange WHERE managed_key_id = ANY(%s)
"""
# `ends` is by the lease that stands now, and by any longer one before it (keys.verification.memory.lease): a later one is only
# served under after a look, which shows the stop. Of changes that are not known any more nobody has said that they have them.
_LEASES: Final = """
SELECT v.id::text, v.name,
       v.renewed_at + (SELECT max((v.terms ->> e)::double precision) FROM unnest(%(environments)s::text[]) e) * interval '1 millisecond',
       clock_timestamp()
FROM keys_verifier v
WHERE v.stopped_at IS NULL AND v.valid_until > clock_timestamp() AND v.terms ?| %(environments)s::text[]
  AND (v.environment_id IS NULL OR v.environment_id::text = ANY(%(environments)s::text[]))
  AND (v.service_id IS NULL OR v.service_id::text = ANY(%(services)s::text[]))
"""
_WORDS: Final = """
SELECT clock_timestamp(), array_agg(id) FILTER (WHERE has_it), array_agg(id) FILTER (WHERE is_stopped AND NOT has_it)
FROM (SELECT v.id::text, v.stopped_at IS NOT NULL AS is_stopped,
             coalesce((SELECT bool_and(pg_visible_in_snapshot(t::xid8, v.applied::pg_snapshot)) FROM unnest(%s::text[]) t), false) AS has_it
      FROM keys_verifier v WHERE v.id = ANY(%s::uuid[])) AS waited_for
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
    verifier: str
    name: str
    ends: datetime


def stop_with_receipt(key: ManagedKey, *, action: str) -> RevocationReceipt:
    """Wait until a stop of `key` that has been committed is everywhere, and keep the receipt. Call it after the commit."""
    return stop_with_receipts([key], action=action)[0]


def stop_with_receipts(keys: Sequence[ManagedKey], *, action: str) -> list[RevocationReceipt]:
    """The same for many keys that were stopped at once: one wait for all of them."""
    committed_at = clock.now()
    words = [dict(vars(word)) for word in wait_until_everywhere(keys)]
    answered_at = clock.now()
    return RevocationReceipt.objects.bulk_create(
        RevocationReceipt(
            managed_key=key, action=action, committed_at=committed_at, answered_at=answered_at, verifiers=words
        )
        for key in keys
    )


def stop_listed(numbers: Sequence[int]) -> list[RevocationReceipt]:
    """The same for the keys of an emergency, by their numbers: those that it ended, for what it replaces works on until the next claim."""
    ended = ManagedKey.objects.filter(number__in=numbers, revoked_at__isnull=False)
    keys = ended.select_related("environment").order_by("number")
    return stop_with_receipts(list(keys), action="emergency")


def wait_until_everywhere(keys: Collection[ManagedKey]) -> list[Word]:
    """Wait until no verifier can accept what was changed of these keys; longest as long as the longest lease."""
    waiting = _Waiting(keys)
    ring()
    shortest_pause, longest_pause = LOOKS
    pause = shortest_pause
    while waiting.goes_on:
        try:
            pause = shortest_pause if waiting.look() else min(pause * 1.3, longest_pause)
        except (OperationalError, InterfaceError) as error:
            # The stop stands in the database, and who has it cannot be asked: only time tells then.
            _log.warning("leases not readable", exc_info=error)
            connection.close_if_unusable_or_obsolete()
            pause = longest_pause
        if waiting.goes_on:
            time.sleep(min(pause, waiting.soonest))
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
        self._leases: dict[str, _Lease] | None = None
        # By our clock. What an environment says today is no measure: a lease of before may be longer.
        self._over_at = lease.clock() + lease.LONGEST
        self.soonest = lease.LONGEST  # seconds until the next lease runs out

    @property
    def goes_on(self) -> bool:
        return self._leases != {} and lease.clock() < self._over_at

    def look(self) -> bool:
        """Ask who has it now, and cross out whose lease has ended or who said so; whether anybody was, or is asked at all."""
        waited_for = self._leases
        if waited_for is None:
            self._begin()
            return True
        with bound_cursor() as cursor:
            cursor.execute(_WORDS, [self._changes, f"{{{','.join(waited_for)}}}"])
            at, acknowledged, stopped = cursor.fetchone()
        ended = [verifier for verifier, each in waited_for.items() if at >= each.ends]
        heard = 0
        for how, verifiers in ((How.ACKNOWLEDGED, acknowledged), (How.STOPPED, stopped), (How.LEASE_ENDED, ended)):
            for verifier in verifiers or ():
                if (each := waited_for.pop(verifier, None)) is not None:
                    self._words.append(Word(verifier=verifier, name=each.name, how=how, at=told_time(at) or ""))
                    heard += 1
        self._measure(at)
        return heard > 0

    def told(self) -> list[Word]:
        """What is known in the end; who could not be asked any more had a lease, and it has ended by our clock."""
        ended = [
            Word(verifier=each.verifier, name=each.name, how=How.LEASE_ENDED, at=told_time(each.ends) or "")
            for each in (self._leases or {}).values()
        ]
        return self._words + ended

    def _begin(self) -> None:
        with bound_cursor() as cursor:
            cursor.execute(_CHANGES, [self._keys])
            self._changes = cursor.fetchone()[0] or []
            cursor.execute(_LEASES, self._places)
            rows = cursor.fetchall()
        self._leases = {
            verifier: _Lease(verifier=verifier, name=name, ends=ends) for verifier, name, ends, at in rows if ends > at
        }
        self._measure(clock.now())

    def _measure(self, at: datetime) -> None:
        """Say until when somebody may still answer, by a clock of ours: the database may be away when it strikes."""
        left = [(each.ends - at) / timedelta(seconds=1) for each in (self._leases or {}).values()]
        self.soonest = max(0.001, min(left, default=0.0))
        self._over_at = lease.clock() + max(left, default=0.0) + lease.MARGIN
