"""Promise the database how long this memory may be behind, and read what has changed: the statements of a verifier.

The order is what makes a revocation final. First the lease is committed, then what changed is read, then answers are given
until the lease ends. Whoever revokes commits first and reads the leases then: either the change was there to be read, or
the lease is there to be waited for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connections

from keys.verification.lookup import IS_BEHIND, VERIFIER

# A clock that also runs while the machine sleeps: one that stood still would let a lease outlive its end.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
MARGIN: Final = 0.05  # seconds between our end of a lease and the database's: clocks do not run alike to the last tick

_RENEW: Final = """
INSERT INTO keys_verifier (id, name, credential_id, service_id, environment_id, started_at, renewed_at, valid_until, terms,
                           applied, entries, hears)
SELECT %(id)s, %(name)s, %(credential)s, %(service)s, %(environment)s, at, at, at + %(longest)s * interval '1 millisecond',
       %(terms)s::jsonb, %(applied)s, %(entries)s, %(hears)s
FROM (SELECT clock_timestamp() AS at) AS clock
ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at, valid_until = excluded.valid_until, terms = excluded.terms,
    applied = excluded.applied, entries = excluded.entries, hears = excluded.hears
WHERE keys_verifier.stopped_at IS NULL
RETURNING extract(epoch FROM renewed_at)::double precision
"""
# An acknowledgement that a crash of the database loses only makes somebody wait for the end of the lease.
_ACKNOWLEDGE: Final = """
UPDATE keys_verifier SET applied = %(applied)s WHERE id = %(id)s AND set_config('synchronous_commit', 'off', true) = 'off'
"""
_END: Final = "UPDATE keys_verifier SET stopped_at = clock_timestamp(), valid_until = least(valid_until, clock_timestamp()) WHERE id = %s"
# One statement, so one snapshot: what it shows is exactly what the snapshot that it names sees.
_LOOK: Final = f"""
SELECT pg_current_snapshot()::text, {IS_BEHIND},
       pg_snapshot_xmax(%(applied)s::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()),
       ARRAY(SELECT DISTINCT managed_key_id FROM keys_verificationchange
             WHERE txid >= pg_snapshot_xmin(%(applied)s::pg_snapshot)
             AND NOT pg_visible_in_snapshot(txid, %(applied)s::pg_snapshot))
"""  # noqa: S608 - a constant of ours
# A database that was restored from a backup, or took over from another, may have forgotten what we have seen.
_PAST: Final = """
SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || (SELECT timeline_id FROM pg_control_checkpoint())
       || '/' || (SELECT oid FROM pg_database WHERE datname = current_database()), """
_HISTORY: Final = f"{_PAST} pg_current_snapshot()::text"
_IS_AHEAD: Final = f"{_PAST} pg_snapshot_xmax(%s::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot())"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lease: a process of ours that holds everything, or a client's, for one service and environment."""

    id: UUID
    name: str
    credential: UUID | None = None
    service: UUID | None = None
    environment: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What has changed since a position: `keys` to read again, None among them for the catalogue."""

    position: str
    is_behind_log: bool  # the database was restored: no key is valid until it follows its log
    is_gap: bool  # this database does not know of what we have seen
    keys: tuple[UUID | None, ...]


def clock() -> float:
    """Seconds on a clock of this machine that never jumps, nor stops while it sleeps."""
    return time.clock_gettime(_CLOCK)


def history() -> tuple[str, str]:
    """Which database this is, as far as its past goes, and its present position."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_HISTORY)
        name, position = cursor.fetchone()
    return name, position


def is_ahead(applied: str) -> tuple[str, bool]:
    """Which database this is, and whether a position lies in its future; raises DataError for what is no position."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_IS_AHEAD, [applied])
        name, ahead = cursor.fetchone()
    return name, ahead


def renew(holder: Holder, *, terms: Mapping[UUID, int], applied: str, entries: int, hears: bool) -> float | None:
    """Commit the lease; returns the database's time, in seconds since the epoch, or None when it was ended by somebody."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(
            _RENEW,
            {
                "id": holder.id,
                "name": holder.name,
                "credential": holder.credential,
                "service": holder.service,
                "environment": holder.environment,
                "longest": max(terms.values(), default=0),
                "terms": json.dumps({str(environment): term for environment, term in terms.items()}),
                "applied": applied,
                "entries": entries,
                "hears": hears,
            },
        )
        row = cursor.fetchone()
    return float(row[0]) if row else None


def look(applied: str) -> Seen:
    """Read which keys have changed since `applied`: every change that has been committed, in whatever order."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_LOOK, {"applied": applied})
        position, is_behind, is_gap, keys = cursor.fetchone()
    return Seen(position=position, is_behind_log=is_behind, is_gap=is_gap, keys=tuple(keys))


def acknowledge(holder: UUID, *, applied: str) -> None:
    """Say that everything visible in `applied` is in memory."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_ACKNOWLEDGE, {"id": holder, "applied": applied})


def end(holder: UUID) -> None:
    """Give the lease back, after the last answer."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_END, [holder])
