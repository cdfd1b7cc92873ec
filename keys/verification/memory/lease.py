"""Promise the database how long this memory may be behind, and read what has changed: the statements of a verifier.

The order is what makes a revocation final. First the lease is committed, then what changed is read, then answers are given
until the lease ends. Whoever revokes commits first and reads the leases then: either the change was there to be read, or
the lease is there to be waited for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from audit.bound import bound_cursor
from keys.verification.lookup import IS_BEHIND, VERIFIER

# A clock that also runs while the machine sleeps: one that stood still would let a lease outlive its end.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
MARGIN: Final = 0.05  # seconds between our end of a lease and the database's: clocks do not run alike to the last tick
# Seconds. No lease is longer, whatever an environment says: so long waits who cannot ask for the leases.
LONGEST: Final = 60.0


def further(held: str, told: str) -> str:
    """Of two positions the one that shows more, in SQL. Of one past, one of the two shows all that the other shows."""
    shows = "(pg_snapshot_xmax({0}::pg_snapshot), -(SELECT count(*) FROM pg_snapshot_xip({0}::pg_snapshot)))"
    return f"CASE WHEN {shows.format(held)} > {shows.format(told)} THEN {held} ELSE {told} END"


# A client says what it applied while a renewal is on its way, which says less. We ourselves may have to go back, after a fail-over;
# a client has a past of its own, and a row in no other.
_APPLIED: Final = (
    f"CASE WHEN held.credential_id IS NULL THEN excluded.applied ELSE {further('held.applied', 'excluded.applied')} END"
)

# A lease that was longer is still answered under until the look under this one is done, and that may fail: the row keeps
# for each environment whichever ends later.
_RENEW: Final = f"""
INSERT INTO keys_verifier AS held (id, name, credential_id, service_id, environment_id, started_at, renewed_at, valid_until, terms,
                           applied, entries, reads, hears)
SELECT id, name, credential, service, environment, at, at, at + longest * interval '1 millisecond', terms, applied, entries, reads, hears
FROM (SELECT clock_timestamp() AS at) AS clock, unnest(
    %(ids)s::uuid[], %(names)s::text[], %(credentials)s::uuid[], %(services)s::uuid[], %(environments)s::uuid[], %(longest)s::bigint[],
    %(terms)s::jsonb[], %(applied)s::text[], %(entries)s::bigint[], %(reads)s::jsonb[], %(hears)s::boolean[]
) AS renewal (id, name, credential, service, environment, longest, terms, applied, entries, reads, hears)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at, applied = {_APPLIED}, entries = excluded.entries,
    reads = excluded.reads, hears = excluded.hears, valid_until = greatest(held.valid_until, excluded.valid_until),
    terms = (SELECT coalesce(jsonb_object_agg(place, term), '{{}}') FROM (
        SELECT place, max(term) AS term FROM (
            SELECT key, value::bigint FROM jsonb_each_text(excluded.terms)
            UNION ALL
            SELECT key, ceil(value::bigint - extract(epoch FROM excluded.renewed_at - held.renewed_at) * 1000)::bigint
            FROM jsonb_each_text(held.terms)
        ) AS promised (place, term) GROUP BY place HAVING max(term) > 0
    ) AS longest)
WHERE held.stopped_at IS NULL
RETURNING id, extract(epoch FROM renewed_at)::double precision
"""  # noqa: S608 - constants of ours
# An acknowledgement that a crash of the database loses only makes somebody wait for the end of the lease.
_ACKNOWLEDGE: Final = """
UPDATE keys_verifier SET applied = %(applied)s WHERE id = %(id)s AND set_config('synchronous_commit', 'off', true) = 'off'
"""
_END: Final = "UPDATE keys_verifier SET stopped_at = clock_timestamp(), valid_until = least(valid_until, clock_timestamp()) WHERE id = %s"
# A database that was restored from a backup, or took over from another, may have forgotten what we have seen. Which it is, its log
# says at once; the control file only after a checkpoint, which takes a new primary minutes.
_LINE: Final = """
(SELECT system_identifier FROM pg_control_system())::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"""
PAST: Final = f"SELECT {_LINE} || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())"  # noqa: S608 - a constant of ours
# Changes are kept for a day, and the last of those before (keys.verification.watching.forgetting): who has not seen one of so long ago may
# have missed others that are gone.
FORGOTTEN: Final = "interval '12 hours'"
# One statement, so one snapshot: what it shows is exactly what the snapshot that it names sees. It names what a past begins with
# too: a pooler keeps our connection while another database takes over behind it.
_LOOK: Final = f"""
SELECT applied, {_LINE}, pg_current_snapshot()::text, {IS_BEHIND},
       pg_snapshot_xmax(applied::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()) OR unseen.since < clock_timestamp() - {FORGOTTEN},
       unseen.keys
FROM unnest(%s::text[]) AS asked (applied), LATERAL (
    SELECT coalesce(array_agg(DISTINCT managed_key_id), '{{}}') AS keys, min(at) AS since FROM keys_verificationchange
    WHERE txid >= pg_snapshot_xmin(applied::pg_snapshot) AND NOT pg_visible_in_snapshot(txid, applied::pg_snapshot)
) AS unseen
"""  # noqa: S608 - constants of ours
_HISTORY: Final = f"{PAST}, pg_current_snapshot()::text"
_POSITIONS: Final = f"""{PAST}, asked.applied, pg_snapshot_xmax(asked.applied::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot())
FROM unnest(%s::text[]) AS asked (applied)"""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lease: a process of ours that holds everything, or a client's, for one service and environment."""

    id: UUID
    name: str
    credential: UUID | None = None
    service: UUID | None = None
    environment: UUID | None = None
    reads: tuple[str, ...] = ()  # the keys of the keyring that a process of ours holds now


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """One lease to renew: `terms` says for each environment for how many milliseconds, `applied` is what the holder has."""

    holder: Holder
    terms: Mapping[UUID, int]
    applied: str
    entries: int = 0
    hears: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What has changed since a position: `keys` to read again, None among them for the catalogue."""

    line: str  # which cluster and timeline this is: in another, the same numbers name other transactions
    position: str
    is_behind_log: bool  # the database was restored: no key is valid until it follows its log
    is_gap: bool  # this database does not know of what we have seen, or may have forgotten what we have not
    keys: tuple[UUID | None, ...]

    def is_of(self, past: str) -> bool:
        """Whether it was seen in that past (see `history`)."""
        return past.startswith(self.line)


# Seconds on a clock of this machine that never jumps, nor stops while it sleeps.
clock: Final[Callable[[], float]] = partial(time.clock_gettime, _CLOCK)


def history() -> tuple[str, str]:
    """Which database this is, as far as its past goes, and its present position."""
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_HISTORY)
        name, position = cursor.fetchone()
    return name, position


def read_positions(positions: Collection[str]) -> tuple[str, dict[str, bool]]:
    """Which database this is, and of each position whether it lies in its future."""
    if not positions:
        return "", {}
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_POSITIONS, [list(positions)])
        rows = cursor.fetchall()
    return rows[0][0], {applied: ahead for _, applied, ahead in rows}


def renew(holder: Holder, *, terms: Mapping[UUID, int], applied: str, entries: int, hears: bool) -> float | None:
    """Commit the lease; returns the database's time, in seconds since the epoch, or None when it was ended by somebody."""
    renewal = Renewal(holder=holder, terms=terms, applied=applied, entries=entries, hears=hears)
    return renew_many([renewal]).get(holder.id)


def renew_many(renewals: Sequence[Renewal]) -> dict[UUID, float]:
    """The same for different holders at once; who is missing in what it returns was ended."""
    if not renewals:
        return {}
    holders = [each.holder for each in renewals]
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(
            _RENEW,
            {
                "ids": [holder.id for holder in holders],
                "names": [holder.name for holder in holders],
                "credentials": [holder.credential for holder in holders],
                "services": [holder.service for holder in holders],
                "environments": [holder.environment for holder in holders],
                "longest": [max(each.terms.values(), default=0) for each in renewals],
                "terms": [json.dumps({str(place): term for place, term in each.terms.items()}) for each in renewals],
                "applied": [each.applied for each in renewals],
                "entries": [each.entries for each in renewals],
                "reads": [json.dumps(holder.reads) for holder in holders],
                "hears": [each.hears for each in renewals],
            },
        )
        return dict(cursor.fetchall())


def look(applied: str) -> Seen:
    """Read which keys have changed since `applied`: every change that has been committed, in whatever order."""
    return look_many([applied])[applied]


def look_many(positions: Collection[str]) -> dict[str, Seen]:
    """The same for many positions at once."""
    if not positions:
        return {}
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_LOOK, [list(positions)])
        rows = cursor.fetchall()
    return {
        applied: Seen(line=line, position=position, is_behind_log=is_behind, is_gap=is_gap, keys=tuple(keys))
        for applied, line, position, is_behind, is_gap, keys in rows
    }


def acknowledge(holder: UUID, *, applied: str) -> None:
    """Say that everything visible in `applied` is in memory."""
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_ACKNOWLEDGE, {"id": holder, "applied": applied})


def end(holder: UUID) -> None:
    """Give the lease back, after the last answer."""
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_END, [holder])
