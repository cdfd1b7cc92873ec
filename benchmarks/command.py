"""Run the measures of one benchmark: all or some, in full or small, and judge them."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.cluster import running
from benchmarks.results import RESULTS, Report, Watch

S = TypeVar("S")


def run_benchmark(name: str, measures: Mapping[str, str], *, full: S, quick: S) -> int:
    """Run `make bench NAME=name`; the exit code tells whether every promise holds.

    `measures`: what each is called -> "module.function", which is given the cluster and `full` or `quick` and returns results.
    They are imported only when Django has its settings, because those need the database.
    """
    words = argparse.ArgumentParser(prog=f"make bench NAME={name}")
    words.add_argument("--quick", action="store_true", help="sizes that only show that everything runs")
    words.add_argument("--only", action="append", default=[], choices=list(measures), help="a part; may be repeated")
    words.add_argument("--into", type=Path, default=RESULTS, help="the folder of the results")
    arguments = words.parse_args()
    # Gigabytes are left behind by whoever dies without leaving the context below.
    signal.signal(signal.SIGTERM, lambda _sign, _frame: sys.exit(143))
    watch = Watch()
    watch.says("starting PostgreSQL")
    with running() as cluster:
        report = Report.begun(name, cluster.told(), list(measures), arguments.into)
        for each, place in measures.items():
            if not arguments.only or each in arguments.only:
                module, _, function = place.rpartition(".")
                watch.says(f"measuring: {each}")
                measure = getattr(importlib.import_module(module), function)
                report.measure(each, partial(measure, cluster, quick if arguments.quick else full))
        watch.says("measured")
        small = arguments.quick and arguments.into == RESULTS
        held = report.write(keep=not small)
    return 0 if held or arguments.quick else 1
