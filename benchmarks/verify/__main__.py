"""Measure verification: `make bench NAME=verify`, with ARGS="--quick" or ARGS="--only door" for less."""

import sys

from benchmarks.command import run_benchmark
from benchmarks.verify import sizes

MEASURES = {
    "door": "benchmarks.verify.door.measure",
    "peers": "benchmarks.verify.peers.measure",
    "openbao": "benchmarks.verify.openbao.measure",
    "gateway": "benchmarks.verify.gateway.measure",
    "growth": "benchmarks.verify.growth.measure",
    "receipts": "benchmarks.verify.receipts.measure",
    "wire": "benchmarks.verify.over_the_wire.measure",
    "counting": "benchmarks.verify.counting.measure",
    "client": "benchmarks.verify.in_process.measure",
}

if __name__ == "__main__":
    sys.exit(run_benchmark("verify", MEASURES, full=sizes.FULL, quick=sizes.QUICK))
