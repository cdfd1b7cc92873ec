"""Name the measures, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from benchmarks.audit import cpu, export, proofs, sealing, search, verification, writes
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.results import Result

MEASURES: Mapping[str, Callable[[Cluster, Sizes], list[Result]]] = MappingProxyType(
    {
        "writes": writes.measure,
        "cpu": cpu.measure,
        "lag": sealing.measure_lag,
        "drain": sealing.measure_drain,
        "proofs": proofs.measure,
        "export": export.measure,
        "verification": verification.measure,
        "search": search.measure,
    }
)
