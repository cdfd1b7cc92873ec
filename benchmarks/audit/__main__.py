"""Measure the audit log: `make bench NAME=audit`, with ARGS="--quick" or ARGS="--only search" for less."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.cluster import running
from benchmarks.results import RESULTS, Report, Watch


def main() -> int:
    """Run the measures in order; the exit code tells whether every promise holds."""
    words = argparse.ArgumentParser(prog="make bench NAME=audit", description=__doc__)
    words.add_argument("--quick", action="store_true", help="sizes that only show that everything runs")
    words.add_argument("--only", action="append", default=[], metavar="MEASURE", help="a part; may be repeated")
    words.add_argument("--into", type=Path, default=RESULTS, help="the folder of the results")
    arguments = words.parse_args()
    watch = Watch()
    watch.says("starting PostgreSQL")
    with running() as cluster:
        # Models can be imported only now that Django has its settings.
        from benchmarks.audit.measures import MEASURES
        from benchmarks.audit.sizes import FULL, QUICK

        unknown = set(arguments.only) - MEASURES.keys()
        if unknown:
            words.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(MEASURES)}")
        report = Report.begun("audit", cluster.told(), arguments.into)
        for name, measure in MEASURES.items():
            if not arguments.only or name in arguments.only:
                watch.says(f"measuring: {name}")
                report.add(measure(cluster, QUICK if arguments.quick else FULL))
        watch.says("measured")
        held = report.write(partial=bool(arguments.only) or (arguments.quick and arguments.into == RESULTS))
    return 0 if held or arguments.quick else 1


if __name__ == "__main__":
    sys.exit(main())
