"""Compare an export of the whole log with PostgreSQL's own COPY of the same payloads to a file."""

from __future__ import annotations

from pathlib import Path

from django.db import connection, transaction

from audit import clock
from audit.exporters.manifest import export
from audit.models import AuditEvent
from benchmarks.audit.changes import ACTOR
from benchmarks.audit.sealed_log import sealed_log
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, forget_peak, held_bytes, in_child, peak_bytes, ratio, seconds
from benchmarks.results import Result, at_least, at_most, told

MIB = 1024 * 1024
# In the order of the export, and without spelling bytes as digits: the fastest that PostgreSQL can hand them over.
_COPY = "COPY (SELECT payload FROM audit_event ORDER BY occurred_at, id) TO STDOUT (FORMAT binary)"


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Write the same events to a file both ways, by turns, each in a process of its own."""
    made = sealed_log(cluster, sizes)
    rows = made.rows
    path = cluster.layout.data / "export"
    peaks: list[float] = []

    def exported() -> float:
        passed, peak = in_child(lambda: _export(path))
        peaks.append(peak)
        return passed

    times = by_turns(
        {"export": exported, "copy": lambda: in_child(lambda: (seconds(lambda: _copy(path)),))[0]},
        rounds=max(1, min(5, sizes.rounds)),
    )
    size = path.stat().st_size
    path.unlink()
    return [
        at_least(
            f"export of {rows:,} events as JSON Lines / COPY of them, by speed",
            ratio(times["copy"], times["export"]),
            0.4,
            "x",
        ),
        at_most(f"export of {rows:,} events, memory above the baseline", max(peaks) / MIB, 32, "MiB"),
        told(f"export of {rows:,} events, {size / MIB:,.0f} MiB", min(times["export"]), "s"),
        told("COPY of the same to a file", min(times["copy"]), "s"),
    ]


def _export(path: Path) -> tuple[float, ...]:
    connection.ensure_connection()
    forget_peak()
    before = held_bytes()

    def write() -> None:
        with path.open("wb") as into, transaction.atomic():
            export(AuditEvent.objects.all(), form="jsonl", into=into, searched={}, actor=ACTOR, at=clock.now())

    return seconds(write), peak_bytes() - before


def _copy(path: Path) -> None:
    connection.ensure_connection()
    with path.open("wb") as into, connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for block in copy:
            into.write(block)
