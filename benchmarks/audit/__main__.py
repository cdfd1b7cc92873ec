"""Measure the audit log: `make bench NAME=audit`, with ARGS="--quick" or ARGS="--only search" for less."""

import sys

from benchmarks.audit.sizes import FULL, QUICK
from benchmarks.command import run_benchmark

MEASURES = {
    "writes": "benchmarks.audit.writes.measure",
    "cpu": "benchmarks.audit.cpu.measure",
    "lag": "benchmarks.audit.sealing.measure_lag",
    "drain": "benchmarks.audit.sealing.measure_drain",
    "proofs": "benchmarks.audit.proofs.measure",
    "export": "benchmarks.audit.export.measure",
    "verification": "benchmarks.audit.verification.measure",
    "search": "benchmarks.audit.search.measure",
}

if __name__ == "__main__":
    sys.exit(run_benchmark("audit", MEASURES, full=FULL, quick=QUICK))
