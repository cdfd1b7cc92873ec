"""Measure the sweep of what the clock has ended: `make bench NAME=jobs`, with ARGS="--quick" for less."""

import sys

from benchmarks.command import run_benchmark
from benchmarks.jobs import sizes

MEASURES = {"sweep": "benchmarks.jobs.sweeping.measure"}

if __name__ == "__main__":
    sys.exit(run_benchmark("jobs", MEASURES, full=sizes.FULL, quick=sizes.QUICK))
