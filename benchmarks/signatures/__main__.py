"""Measure signed requests: `make bench NAME=signatures`, with ARGS="--quick" or ARGS="--only nonces" for less."""

import sys

from benchmarks.command import run_benchmark
from benchmarks.signatures.sizes import FULL, QUICK

MEASURES = {
    "checking": "benchmarks.signatures.checking.measure",
    "nonces": "benchmarks.signatures.nonces.measure",
    "door": "benchmarks.signatures.door.measure",
}

if __name__ == "__main__":
    sys.exit(run_benchmark("signatures", MEASURES, full=FULL, quick=QUICK))
