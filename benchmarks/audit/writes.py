"""Compare the throughput of an audited change with the same change and a plain insert, and with a locked hash chain.

The commit of 2 ms is PostgreSQL's own: `commit_delay` lets the one that flushes the log wait that long, as a slower disk or
a synchronous standby would, and others that commit meanwhile share the flush.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.audit import changes, statements
from benchmarks.audit.sealing_beside import new_sealer, seal_all, sealer_at_work
from benchmarks.audit.sizes import Sizes
from benchmarks.audit.writers import Load, Writing, by, write_together
from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, percentile, ratio
from benchmarks.results import Result, at_least, told

SERVICES_EACH = 8
COMMIT_MICROSECONDS = 2_000
AUDITED, PLAIN, CHAIN = "audited write", "write and plain insert", "write and locked hash chain"
OPERATIONS: Mapping[str, Writing] = {
    AUDITED: by(changes.audited),
    PLAIN: by(changes.with_plain_insert),
    CHAIN: by(changes.with_hash_chain),
}
STATEMENTS: Mapping[str, Writing] = {
    AUDITED: statements.audited,
    PLAIN: statements.with_plain_insert,
    CHAIN: statements.with_hash_chain,
}


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Let the writers at the log, at a plain table and at a chain, by turns, with the sealer at work."""
    crowd = _Crowd(cluster, sizes)
    try:
        with sealer_at_work(cluster, crowd.guarded, crowd.sealer_folder):
            fast = crowd.by_turns({name: OPERATIONS[name] for name in (AUDITED, PLAIN)})
            # commit_siblings = 0: the one that flushes waits even when nobody else is about to commit.
            cluster.set(commit_delay=COMMIT_MICROSECONDS, commit_siblings=0)
            slow = crowd.by_turns(OPERATIONS)
            bare = crowd.by_turns(STATEMENTS)
    finally:
        cluster.set(commit_delay=0, commit_siblings=5)
        crowd.leave()
    at = f"at {sizes.writers} writers"
    delayed = f"{at}, 2 ms commit"
    alone = f"{delayed}, statements only"
    return [
        at_least(f"{AUDITED} / {PLAIN}, {at}", _ratio(fast, PLAIN), 0.85, "x"),
        *_figures(fast, at),
        at_least(f"{AUDITED} / {PLAIN}, {delayed}", _ratio(slow, PLAIN), 0.85, "x"),
        at_least(f"{AUDITED} / {CHAIN}, {delayed}", _ratio(slow, CHAIN), 5, "x"),
        *_figures(slow, delayed),
        at_least(f"{AUDITED} / {CHAIN}, {alone}", _ratio(bare, CHAIN), 5, "x"),
        told(f"{AUDITED} / {PLAIN}, {alone}", _ratio(bare, PLAIN), "x"),
        *_figures(bare, alone),
    ]


class _Crowd:
    """Sixteen writers, a guarded database for the audited writes, and one without a guard for the others."""

    def __init__(self, cluster: Cluster, sizes: Sizes) -> None:
        self.cluster, self.sizes = cluster, sizes
        self.guarded, self.unguarded = cluster.create("writes_audited"), cluster.create("writes_plain")
        changes.leave_unguarded(cluster, self.unguarded)
        self._services = {}
        for database in (self.guarded, self.unguarded):
            cluster.use(database)
            self._services[database] = changes.make_services(sizes.writers * SERVICES_EACH)
        cluster.use(self.guarded)
        sealer = new_sealer(cluster, "writes")
        seal_all(sealer)
        self.sealer_folder = sealer.folder.path

    def by_turns(self, ways: Mapping[str, Writing]) -> dict[str, list[Load]]:
        """Let each way have its turn in every round; return the loads of each."""
        loads: dict[str, list[Load]] = {name: [] for name in ways}

        def run(name: str) -> float:
            database = self.guarded if name == AUDITED else self.unguarded
            self.cluster.use(database)
            load = write_together(
                ways[name], self._services[database], writers=self.sizes.writers, seconds=self.sizes.write_seconds
            )
            loads[name].append(load)
            return load.per_second

        by_turns({name: (lambda name=name: run(name)) for name in ways}, rounds=self.sizes.rounds)  # type: ignore[misc]
        return loads

    def leave(self) -> None:
        for database in (self.guarded, self.unguarded):
            self.cluster.drop(database)


def _ratio(loads: Mapping[str, Sequence[Load]], other: str) -> float:
    return ratio([each.per_second for each in loads[AUDITED]], [each.per_second for each in loads[other]])


def _figures(loads: Mapping[str, Sequence[Load]], named: str) -> list[Result]:
    found = []
    for name, rounds in loads.items():
        latencies = [each for load in rounds for each in load.latencies]
        found.append(told(f"{name}, {named}", statistics.median(each.per_second for each in rounds), "tx/s"))
        found.append(told(f"{name}, {named}, p99", percentile(latencies, 0.99) * 1e3, "ms"))
    return found
