"""Time the sweep of overdue versions among a million keys: as it is, one by one, and as statements alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection, connections, transaction

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from benchmarks.cluster import Cluster
from benchmarks.jobs.million import fill
from benchmarks.jobs.sizes import Sizes
from benchmarks.measuring import forget_peak, held_bytes, in_child, peak_bytes, seconds
from benchmarks.results import Result, at_least, at_most, told
from keys.jobs.endings import BATCH, end_overdue
from keys.lifecycle.ending import end_versions
from keys.lifecycle.expiry import end_version
from keys.models import KeyVersion

KIND = "keys.end_what_is_over"
JOB = Actor.job("end_version")
FOREVER = 36_000.0
MIB = 2**20

# What a database could do if events wrote themselves: no row MAC is verified or made, no commitment computed.
_BY_SQL = """
WITH due AS MATERIALIZED (
    SELECT id FROM keys_keyversion
    WHERE state IN ('pre-activation', 'active', 'suspended')
      AND CASE WHEN activated_at IS NULL THEN claim_until ELSE LEAST(expires_at, retire_at) END <= clock_timestamp()
    LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
), ended AS (
    UPDATE keys_keyversion version SET state = 'deactivated', ended_at = version.expires_at, ended_reason = 'expired'
    FROM due WHERE version.id = due.id RETURNING version.id, gen_random_uuid() AS uid
), event AS (
    INSERT INTO audit_event (payload)
    SELECT convert_to(replace(replace(%(payload)s, %(target)s, id::text), %(uid)s, uid::text), 'UTF8') FROM ended
    RETURNING id
)
INSERT INTO audit_private (event_id, salt, body) SELECT id, %(salt)s, %(body)s FROM event
"""


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Fill once, and let each way have its part of what is due; the sweep as it is gets what is left."""
    database = cluster.create("jobs")
    fill(cluster, database, keys=sizes.keys, due=sizes.due)
    among = f"of {sizes.due:,} due among {sizes.keys:,} keys"
    one_by_one = _per_second(lambda: _singly(sizes.singly), sizes.singly)
    by_sql = _by_sql(sizes.by_sql)
    shared = _per_second(lambda: _shared(sizes.shared), sizes.shared)
    left, events = KeyVersion.objects.over_by(clock.now()).count(), _events()
    connections.close_all()
    passed, work, grown, ended = in_child(_sweep)
    recorded = _events() - events
    swept = ended / passed
    return [
        told(f"ended one by one, {sizes.singly:,} {among}", one_by_one, "rows/s"),
        told(f"set-based in SQL alone, {sizes.by_sql:,} {among}", by_sql, "rows/s"),
        told(f"the sweep, {int(ended):,} {among}", swept, "rows/s"),
        at_least("the sweep / one by one", swept / one_by_one, 5, "x"),
        told("the sweep / SQL alone", swept / by_sql, "x"),
        told("the sweep without our own process: what its statements take", ended / max(passed - work, 1e-9), "rows/s"),
        told(f"two workers sharing {sizes.shared:,}", shared, "rows/s"),
        at_most("memory above the baseline during the sweep", grown / MIB, 16, "MiB"),
        at_most("rows left over after the sweep", left - ended, 0, "rows"),
        at_most("rows without exactly one event", abs(recorded - ended), 0, "rows"),
        at_most("a look when nothing is due, median", _look(sizes.looks) * 1e3, 5, "ms"),
    ]


def _sweep() -> tuple[float, ...]:
    """Work everything off in a process of its own; return seconds, processor seconds, bytes above the baseline, rows."""
    ended = end_versions(KeyVersion.objects.over_by(clock.now()), most=BATCH // 5, actor=JOB)
    forget_peak()
    baseline, since, worked = held_bytes(), time.perf_counter(), time.process_time()
    ended_then = end_overdue(KIND, seconds=FOREVER)
    passed, work = time.perf_counter() - since, time.process_time() - worked
    # The warm-up is part of what is counted, at the pace of the rest.
    share = (ended + ended_then) / max(ended_then, 1)
    return passed * share, work * share, peak_bytes() - baseline, ended + ended_then


def _singly(count: int) -> None:
    for version in KeyVersion.objects.over_by(clock.now())[:count]:
        end_version(version, actor=JOB)


def _shared(count: int) -> None:
    """Two threads wait for the database at the same time; our own part of the work does not become two processors."""
    most = min(BATCH, count // 6)

    def work() -> None:
        done, ended = 0, most
        while ended and done < count // 2:
            ended = end_versions(KeyVersion.objects.over_by(clock.now()), most=most, actor=JOB)
            done += ended
        connections.close_all()

    with ThreadPoolExecutor(2) as workers:
        for each in [workers.submit(work) for _ in range(2)]:
            each.result()


def _by_sql(count: int) -> float:
    model = AuditEvent.objects.filter(action="version.deactivated").select_related("private").latest("id")
    values = {
        "payload": bytes(model.payload).decode(),
        "target": model.target_id,
        "uid": str(model.uid),
        "salt": bytes(model.private.salt),
        "body": bytes(model.private.body),
        "most": count,
    }

    def run() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_BY_SQL, values)

    return _per_second(run, count)


def _look(looks: int) -> float:
    return statistics.median(
        seconds(lambda: end_versions(KeyVersion.objects.over_by(clock.now()), most=BATCH, actor=JOB))
        for _ in range(looks)
    )


def _per_second(action: Callable[[], object], rows: int) -> float:
    return rows / seconds(action)


def _events() -> int:
    return AuditEvent.objects.filter(action="version.deactivated").count()
