"""Let many processes write at once for a while, and count what they committed."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import TypeAlias

from django.db import connections

from benchmarks.audit.changes import Change
from keys.models import Service

WARM_UP_SECONDS = 0.5
_fork = multiprocessing.get_context("fork")

Writing: TypeAlias = Callable[[Sequence[Service], float], Callable[[int], None]]
"""Given a writer's own services and how long it will write, return what makes change number so and so."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a crowd of writers achieved."""

    per_second: float
    latencies: list[float]


def by(change: Change) -> Writing:
    """Let every number be one `change` of the next service."""
    return lambda services, seconds: lambda number: change(services[number % len(services)], f"change {number}")


def write_together(writing: Writing, services: Sequence[Service], *, writers: int, seconds: float) -> Load:
    """Let `writers` processes write, each to services of its own, and count commits from the common start on."""
    connections.close_all()  # a connection must not be shared with a fork
    barrier = _fork.Barrier(writers + 1)
    pipes, crowd = [], []
    for number in range(writers):
        mine, theirs = _fork.Pipe(duplex=False)
        own = list(services[number::writers])
        process = _fork.Process(target=_write, args=(writing, own, seconds, barrier, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(mine)
        crowd.append(process)
    barrier.wait(timeout=120)
    latencies = [each for pipe in pipes for each in pipe.recv()]
    for process in crowd:
        process.join(timeout=60)
    if any(process.exitcode for process in crowd):
        raise RuntimeError("a writer failed; its words are above")
    return Load(per_second=len(latencies) / seconds, latencies=latencies)


def _write(writing: Writing, services: Sequence[Service], seconds: float, barrier: Barrier, pipe: Connection) -> None:
    warm_up = min(WARM_UP_SECONDS, seconds)
    change, number, latencies = writing(services, warm_up + seconds), 0, []
    end = time.perf_counter() + warm_up
    while time.perf_counter() < end:
        change(number)
        number += 1
    barrier.wait(timeout=120)
    end = time.perf_counter() + seconds
    while (since := time.perf_counter()) < end:
        change(number)
        latencies.append(time.perf_counter() - since)
        number += 1
    pipe.send(latencies)
    pipe.close()
    connections.close_all()
