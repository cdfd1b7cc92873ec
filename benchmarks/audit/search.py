"""See how long a page of the log's search takes in a large log: by time, actor, target and action, first pages and later ones.

Measured is what the page asks of the database and makes of it: the events that fit with their private parts, and their
places in the sealed log. What is asked for is drawn from the log itself, so that what happens often is asked for often, and half as
many again are the most frequent and the rarest of each kind.
"""

from __future__ import annotations

import random
import shutil
import statistics
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db import connection

from audit.models import AuditEvent
from audit.queries import Position
from benchmarks.audit.generated import ACTIONS, fill, place
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.measuring import disk_bytes, percentile, seconds
from benchmarks.results import Result, at_most, told
from keys.reports.log import find_events
from keys.reports.searches import LogSearch, Subject

SESSIONS_FIRST = 10
"""A session reads one page so often before its statements are prepared and their plans kept."""
BYTES_A_ROW = 3_000
"""What an event takes on the disk with its private part, its leaf and its indexes, and once more as write-ahead log on the way."""


class Timed(NamedTuple):
    """The milliseconds of a page, and whether the server had the disk read anything for it."""

    ms: float
    waited: bool


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Fill a log and look for things in it."""
    free = shutil.disk_usage(cluster.layout.home).free
    rows = min(sizes.searched, free // BYTES_A_ROW)
    short = "" if rows == sizes.searched else f" (the disk has no room for {sizes.searched:,})"
    database = cluster.create("search")
    fill(cluster, database, rows, queued=False)
    place(cluster, database)
    cluster.use(database)
    dice = random.Random(5)
    cold, warm = (_searches(_drawn(dice, rows, sizes.searches), dice) for _ in range(2))
    results = []
    for kind in warm:
        named = f"search by {kind} at {rows:,} events that were read once{short}"
        found = _times(cold[kind])
        _read_all(cluster, database)
        pages = _times(warm[kind])
        times = [each.ms for each in pages]
        # A system that gives memory back takes some of what was read away again, however much of it is free.
        held = [each.ms for each in pages if not each.waited]
        results += [
            at_most(f"{named}, p99 of {len(times)} pages", percentile(times, 0.99), 5, "ms"),
            told(f"{named}, median", statistics.median(times), "ms"),
            told(f"{named}, pages for which the disk was read all the same", len(pages) - len(held), "pages"),
            told(f"{named}, the others, p99", percentile(held or times, 0.99), "ms"),
            told(
                f"{named}, other pages as the disk gives them, p99", percentile((each.ms for each in found), 0.99), "ms"
            ),
        ]
    cluster.drop(database)
    return results


def _times(asked: Sequence[tuple[LogSearch, Position | None]]) -> list[Timed]:
    """Take the time of each page."""
    for one in [*asked[:2]] * SESSIONS_FIRST:
        _page(*one)
    return [_timed(*one) for one in asked]


def _timed(search: LogSearch, after: Position | None) -> Timed:
    server = connection.connection.info.backend_pid
    before = disk_bytes(server)
    passed = seconds(lambda: _page(search, after))
    return Timed(passed * 1e3, disk_bytes(server) > before)


def _read_all(cluster: Cluster, database: str) -> None:
    """Have the system read the whole log once, so that searches are measured and not how much of it memory kept while it was filled."""
    with cluster.superuser(database) as superuser:
        superuser.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        superuser.execute(
            "SELECT pg_prewarm(oid, 'read') FROM pg_class WHERE relkind IN ('r', 'i') AND relname LIKE 'audit\\_%'"
        )


def _page(search: LogSearch, after: Position | None) -> None:
    """Read one page as the site does, without the event that puts the reading on record."""
    find_events(search, after=after)


def _drawn(dice: random.Random, rows: int, count: int) -> list[AuditEvent]:
    """Draw events at random, so that whoever did more is drawn more often."""
    numbers = [dice.randint(1, rows) for _ in range(count)]
    events = AuditEvent.objects.in_bulk(numbers)
    return [events[number] for number in numbers if number in events]


def _searches(events: Sequence[AuditEvent], dice: random.Random) -> dict[str, list[tuple[LogSearch, Position | None]]]:
    """Make searches of each kind; every other one goes on from a place somewhere in the log."""

    def places() -> list[Position | None]:
        return [Position.of(dice.choice(events)) if number % 2 else None for number in range(len(events))]

    days = [timedelta(hours=dice.choice((1, 24, 24, 24 * 7, 24 * 30))) for _ in events]
    # What fits most and least of all events: the job of the roll-ups, the busiest thing, each action equally often.
    busiest = [Subject("job", "monitoring.roll-up")] * (len(events) // 2)
    targets = sorted({Subject(each.target_type, each.target_id) for each in events})
    return {
        "time": list(
            zip(
                [
                    LogSearch(start=each.occurred_at - days[number], end=each.occurred_at)
                    for number, each in enumerate(events)
                ],
                [None] * len(events),
                strict=True,
            )
        ),
        "actor": [
            (LogSearch(actor=subject), place)
            for subject, place in zip(
                [*(Subject(each.actor_type, each.actor_id) for each in events), *busiest],
                [*places(), *places()[: len(busiest)]],
                strict=True,
            )
        ],
        "target": [(LogSearch(target=subject), None) for subject in targets],
        "action": [
            (LogSearch(actions=(action,)), place)
            for action, place in zip(
                [*(each.action for each in events), *(ACTIONS[n % len(ACTIONS)][0] for n in range(len(events) // 2))],
                [*places(), *places()[: len(events) // 2]],
                strict=True,
            )
        ],
    }
