"""See how long the proof takes that one event is in a large log."""

from __future__ import annotations

import random
import statistics
from uuid import UUID

from django.db import connection

from audit.checkpoints import proof_of_event
from audit.models import AuditEvent, AuditLeaf
from benchmarks.audit.sealed_log import sealed_log
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.measuring import percentile, seconds
from benchmarks.results import Result, at_most, told


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Prove events from anywhere in the log."""
    made = sealed_log(cluster, sizes)
    dice = random.Random(3)
    wanted = [dice.randrange(made.rows) for _ in range(sizes.proofs)]
    events = AuditLeaf.objects.filter(index__in=wanted).values("event_id")
    uids: list[UUID] = list(AuditEvent.objects.filter(id__in=events).values_list("uid", flat=True))
    dice.shuffle(uids)
    proof_of_event(uids[0])
    connection.queries_log.clear()
    times = [seconds(lambda uid=uid: proof_of_event(uid)) * 1e3 for uid in uids]  # type: ignore[misc]
    return [
        at_most(f"inclusion proof at {made.rows:,} leaves, p99", percentile(times, 0.99), 5, "ms"),
        told(f"inclusion proof at {made.rows:,} leaves, median", statistics.median(times), "ms"),
    ]
