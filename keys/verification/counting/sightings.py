"""Count what a version is used for and remember who presented it; a count that fails never fails a verification."""

from __future__ import annotations

import threading
import time
from typing import Final
from uuid import UUID

import structlog
from django.db import DatabaseError, connections

from keys.verification.counting.tallies import without_secrets
from keys.verification.lookup import VERIFIER
from keys.verification.verifier import Client

# Whoever holds a key could otherwise fill the disk with invented clients.
MOST_SIGHTINGS: Final = 1000
# A hot row is waited for this long and no longer: a lost count is better than a late answer.
_PATIENCE: Final = "250ms"

# One statement, one commit. `set_config(..., true)` lasts for this statement's transaction; every part reads from it, so
# that it is set before the first row is locked. Counts come first everywhere, so that two of these never deadlock.
_NOTE: Final = """
WITH patience AS MATERIALIZED (
    SELECT set_config('lock_timeout', %(patience)s, true), clock_timestamp() AS at
), counted AS (
    INSERT INTO keys_usagecount (version_id, outcome, hour, count, last_at)
    SELECT %(version)s, %(outcome)s, date_trunc('hour', at, 'UTC'), %(count)s, at FROM patience
    ON CONFLICT (version_id, outcome, hour)
    DO UPDATE SET count = keys_usagecount.count + excluded.count, last_at = greatest(keys_usagecount.last_at, excluded.last_at)
    RETURNING 1
)
INSERT INTO keys_sighting (version_id, address, user_agent, instance, first_at, last_at, count)
SELECT %(version)s, %(address)s, %(user_agent)s, %(instance)s, at, at, %(count)s
FROM patience, (SELECT count(*) AS lines FROM counted) AS after_counting
WHERE (SELECT count(*) FROM (
           SELECT FROM keys_sighting WHERE version_id = %(version)s LIMIT %(most)s) AS seen) < %(most)s
   OR EXISTS (
       SELECT FROM keys_sighting WHERE version_id = %(version)s AND address IS NOT DISTINCT FROM %(address)s::inet
       AND user_agent = %(user_agent)s AND instance = %(instance)s)
ON CONFLICT (version_id, address, user_agent, instance)
DO UPDATE SET count = keys_sighting.count + excluded.count, last_at = greatest(keys_sighting.last_at, excluded.last_at)
"""
APART: Final = 10.0  # seconds between two counts of what is counted now and then
# When the next count is due, and how many came since the last one.
_counted: dict[tuple[UUID, str, Client], tuple[float, int]] = {}
_counting = threading.Lock()
_log = structlog.get_logger("keystead.verification")


def note_use(version_id: UUID, *, outcome: str, client: Client, count: int = 1) -> None:
    """Count one verification of a version that was presented with its true secret, and by whom."""
    address, user_agent, instance = without_secrets(client.seen_as)
    try:
        with connections[VERIFIER].cursor() as cursor:
            cursor.execute(
                _NOTE,
                {
                    "version": version_id,
                    "outcome": outcome,
                    "address": address,
                    "user_agent": user_agent,
                    "instance": instance,
                    "count": count,
                    "most": MOST_SIGHTINGS,
                    "patience": _PATIENCE,
                },
            )
    except DatabaseError as error:
        _log.warning("use not counted", target_type="version", target_id=str(version_id), exc_info=error)


def note_now_and_then(version_id: UUID, *, outcome: str, client: Client) -> None:
    """The same for credentials that many programs show every second: one row for all of them, which all would wait for."""
    use = version_id, outcome, client
    now = time.monotonic()
    with _counting:
        due_at, count = _counted.get(use, (now, 0))
        is_due = now >= due_at
        if is_due and len(_counted) >= MOST_SIGHTINGS:
            _counted.clear()  # invented clients again; what they would have added is lost
        _counted[use] = (now + APART, 0) if is_due else (due_at, count + 1)
    if is_due:
        note_use(version_id, outcome=outcome, client=client, count=count + 1)
