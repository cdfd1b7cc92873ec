"""See how long events wait to be sealed under a steady load, and how fast the sealer empties a long queue."""

from __future__ import annotations

import statistics
import threading
import time

from django.db import connections, transaction

from audit import clock, log
from audit.watch import INTERVAL_SECONDS
from benchmarks.audit.changes import ACTOR
from benchmarks.audit.sealed_log import sealed_log
from benchmarks.audit.sealing_beside import new_sealer, seal_all, sealer_at_work
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.measuring import percentile
from benchmarks.results import Result, at_least, at_most, told
from keys.events import ServiceChanged

WRITERS = 4
# When the checkpoint that covers an event became visible, less when the event was written: the clock of the database.
_LAGS = """
SELECT extract(epoch FROM (
    SELECT min(pg_xact_commit_timestamp(head.xmin)) FROM audit_checkpoint head WHERE head.size > leaf.index
) - event.recorded_at)::float8
FROM audit_leaf leaf JOIN audit_event event ON event.id = leaf.event_id
WHERE event.recorded_at >= %s
"""


def measure_lag(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Write at a steady pace beside the real sealer and ask the database when each event was sealed."""
    database = cluster.create("sealing_lag")
    cluster.use(database)
    sealer = new_sealer(cluster, "lag")
    seal_all(sealer)
    with sealer_at_work(cluster, database, sealer.folder.path):
        since = clock.now()
        pace = sizes.lag_per_second / WRITERS
        crowd = [threading.Thread(target=_write_steadily, args=(pace, sizes.lag_seconds)) for _ in range(WRITERS)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        time.sleep(4 * INTERVAL_SECONDS)
    with cluster.superuser(database) as superuser:
        lags = [lag for (lag,) in superuser.execute(_LAGS.encode(), (since,)).fetchall()]
        waiting = superuser.execute(
            "SELECT count(*) FROM audit_pending JOIN audit_event ON id = event_id WHERE recorded_at >= %s", (since,)
        ).fetchone()
    cluster.drop(database)
    written = len(lags) + (waiting[0] if waiting else 0)
    intervals = percentile(lags, 0.99) / INTERVAL_SECONDS
    named = f"at {sizes.lag_per_second} events/s"
    return [
        at_most(
            f"sealing lag p99 {named}, in intervals of {INTERVAL_SECONDS * 1000:.0f} ms", intervals, 2, "intervals"
        ),
        told(f"sealing lag, median {named}", statistics.median(lags), "s"),
        told(f"sealing lag, longest {named}", max(lags), "s"),
        told("events of that load, written", written / sizes.lag_seconds, "events/s"),
        told("events of that load, never sealed", written - len(lags), "events"),
    ]


def measure_drain(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Fill the queue at once and let the sealer empty it."""
    made = sealed_log(cluster, sizes)
    size = made.payload_bytes / made.rows
    return [
        at_least(
            f"sealer, emptying a queue of {sizes.log:,} events of {size:.0f} bytes, median of {len(made.rates)} parts",
            statistics.median(made.rates),
            50_000,
            "events/s",
        ),
        told("the same, slowest part", min(made.rates), "events/s"),
    ]


def _write_steadily(per_second: float, seconds: float) -> None:
    begin = time.monotonic()
    for number in range(int(per_second * seconds)):
        time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
        with transaction.atomic():
            change = {"description": (f"before {number}", f"after {number}")}
            log.record(ServiceChanged(target_id=f"steady-{number}", change=change), actor=ACTOR, at=clock.now())
    connections.close_all()
