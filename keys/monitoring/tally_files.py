"""Add what verifiers counted in files to the database: each file once, whoever brings it and however often."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from django.db import DataError, connection, transaction

from audit import clock
from keys.models import KeyVersion, UsageBatch
from keys.verification.counting.sightings import MOST_SIGHTINGS
from keys.verification.counting.tallies import SUFFIX, UNFINISHED, SeenAs, Tally, read, without_secrets

MOST_FILES: Final = 200
ABANDONED: Final = 3600  # seconds
ASIDE: Final = ".aside"  # of a file that was given up
# Sorted, so that two who add at the same time wait for each other instead of for ever. A count that is full stays so: an error
# would keep everything from the database that came with it.
_COUNTS: Final = """
INSERT INTO keys_usagecount (version_id, outcome, hour, count, last_at)
SELECT v, o, date_trunc('hour', to_timestamp(l), 'UTC'), c, to_timestamp(l)
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::double precision[]) AS t (v, o, c, l) ORDER BY v, o
ON CONFLICT (version_id, outcome, hour)
DO UPDATE SET count = least(keys_usagecount.count::numeric + excluded.count, 9223372036854775807)::bigint,
    last_at = greatest(keys_usagecount.last_at, excluded.last_at)
"""
# Whoever holds a key could otherwise fill the disk with invented clients: those who are known are counted on, newcomers
# only while there is room.
_SIGHTINGS: Final = """
INSERT INTO keys_sighting (version_id, address, user_agent, instance, first_at, last_at, count)
SELECT v, a, u, i, to_timestamp(f), to_timestamp(l), c FROM (
    SELECT t.*, s.id AS known, row_number() OVER (PARTITION BY t.v, s.id IS NULL ORDER BY t.f) AS place
    FROM unnest(%s::uuid[], %s::inet[], %s::text[], %s::text[], %s::bigint[], %s::double precision[], %s::double precision[])
        AS t (v, a, u, i, c, f, l)
    LEFT JOIN keys_sighting s ON s.version_id = t.v AND s.address IS NOT DISTINCT FROM t.a AND s.user_agent = t.u
        AND s.instance = t.i
) AS told
WHERE known IS NOT NULL OR place + (SELECT count(*) FROM keys_sighting o WHERE o.version_id = v) <= %s
ORDER BY v, a, u, i
ON CONFLICT (version_id, address, user_agent, instance)
DO UPDATE SET count = least(keys_sighting.count::numeric + excluded.count, 9223372036854775807)::bigint,
    last_at = greatest(keys_sighting.last_at, excluded.last_at)
"""
_log = structlog.get_logger("keystead.verification")


def add_files(folder: Path) -> int:
    """Add every file that nobody writes any more; returns how many verifications were added."""
    _forget_unfinished(folder)
    added = (_add_file(path) for path in sorted(folder.glob(f"*{SUFFIX}")))
    # Only what was added counts here: or so many that cannot be read would keep all others out for ever.
    return sum(islice((count for count in added if count is not None), MOST_FILES))


def count_aside(folder: Path) -> int | None:
    """How many files were given up and lie there still; None where there is no such folder, or it is not for us."""
    try:
        return sum(path.suffix == ASIDE for path in folder.iterdir())
    except OSError:
        return None


def add_batch(batch: UUID, tallies: Sequence[Tally]) -> int:
    """Add counts once; a batch that is known already adds nothing."""
    with transaction.atomic():
        _, is_new = UsageBatch.objects.get_or_create(id=batch, defaults={"added_at": clock.now()})
        if not is_new:
            return 0
        known = set(KeyVersion.objects.filter(pk__in={each.version for each in tallies}).values_list("pk", flat=True))
        _add([each for each in tallies if each.version in known])
    return sum(each.count for each in tallies)


def versions_by_kid(kids: Iterable[str], *, service: UUID, environment: UUID) -> dict[str, UUID]:
    """The versions of those kids that are of one service in one environment."""
    rows = KeyVersion.objects.filter(
        kid__in=list(kids), managed_key__service_id=service, managed_key__environment_id=environment
    )
    return dict(rows.values_list("kid", "pk"))


def _forget_unfinished(folder: Path) -> None:
    """Remove what was begun by somebody who was killed before it had its name; nobody counted into it."""
    for path in folder.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - ABANDONED:
                path.unlink()


def _add_file(path: Path) -> int | None:
    """Add one file; None when it is not there to be added. No file may keep the others from it, whatever it is."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None  # somebody else was faster
    except OSError as odd:
        _log.error("counts not readable", exc_info=odd)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        added = add_batch(UUID(path.stem), list(read(path.read_bytes())))
        path.unlink()  # after the commit: a file that is found again is known by its name
    except BlockingIOError:
        return None  # it is still being written
    except OSError as odd:
        _log.error("counts not readable", exc_info=odd)
        return None
    except (ValueError, TypeError, AttributeError, RecursionError, DataError) as odd:  # also JSON of another shape
        _put_aside(path, odd)
        return None
    finally:
        os.close(descriptor)
    return added


def _put_aside(path: Path, odd: Exception) -> None:
    """Give up a file that can be added at no time, and keep it for whoever looks into it; its batch is not known to be added."""
    aside = path.with_suffix(ASIDE)
    _log.error("counts put aside", subject=aside.name, exc_info=odd)
    with contextlib.suppress(OSError):
        path.rename(aside)


def _add(tallies: Iterable[Tally]) -> None:
    counts: dict[tuple[UUID, str], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    seen: dict[tuple[UUID, SeenAs], tuple[int, float, float]] = {}
    for each in tallies:
        count, last_at = counts[each.version, each.outcome]
        counts[each.version, each.outcome] = count + each.count, max(last_at, each.last_at)
        client = without_secrets(each.client.seen_as)
        total, first_at, latest = seen.get((each.version, client), (0, each.first_at, each.last_at))
        seen[each.version, client] = total + each.count, min(first_at, each.first_at), max(latest, each.last_at)
    if not counts:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNTS,
            [
                [version for version, _ in counts],
                [outcome for _, outcome in counts],
                [count for count, _ in counts.values()],
                [last_at for _, last_at in counts.values()],
            ],
        )
        cursor.execute(
            _SIGHTINGS,
            [
                [version for version, _ in seen],
                [client[0] for _, client in seen],
                [client[1] for _, client in seen],
                [client[2] for _, client in seen],
                [count for count, _, _ in seen.values()],
                [first_at for _, first_at, _ in seen.values()],
                [last_at for _, _, last_at in seen.values()],
                MOST_SIGHTINGS,
            ],
        )
