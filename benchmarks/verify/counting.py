"""Measure what counting a use costs, beside doing it in the places that offer themselves."""

from __future__ import annotations

import time
from uuid import uuid4

from benchmarks.cluster import Cluster
from benchmarks.results import Result, at_most, told
from benchmarks.verify.sizes import Sizes
from keys.verification.counting.tallies import NOBODY, TallyFile
from keys.verification.memory.snapshot import Entry, Grant, Place

GOAL = 0.2


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Count the uses of a thousand versions, with and without who used them."""
    grant = Grant(Place(uuid4(), uuid4()), "bearer", uuid4(), (), ())
    entries = [Entry(uuid4(), uuid4(), b"", grant, 0.0, None) for _ in range(1_000)]
    client = ("192.0.2.1", "client/1", "pod-1")
    results = []
    for name, seen in (("a use counted", NOBODY), ("a use counted, with who it was", client)):
        file = TallyFile(cluster.layout.data / "counting")
        at = time.time()
        for entry in entries:
            file.count(entry, "valid", at, seen)
        rounds = sizes.counts // len(entries)
        began = time.process_time()
        for _ in range(rounds):
            for entry in entries:
                file.count(entry, "valid", at, seen)
        cost = (time.process_time() - began) / (rounds * len(entries)) * 1e6
        file.close()
        results.append(at_most(name, cost, GOAL, "us") if seen is NOBODY else told(name, cost, "us"))
    return results
