"""Measure an act over many keys: `make bench NAME=emergency`, with ARGS="--quick" for less."""

import sys

from benchmarks.command import run_benchmark
from benchmarks.emergency import sizes

MEASURES = {"stopping": "benchmarks.emergency.stopping.measure"}

if __name__ == "__main__":
    sys.exit(run_benchmark("emergency", MEASURES, full=sizes.FULL, quick=sizes.QUICK))
