"""Compare the processor time of a change that is audited with the same change untold, and with what django-auditlog adds.

Counted are both sides: this process, and the process of PostgreSQL that serves it. One writer, round by round in turns.
"""

from __future__ import annotations

import itertools
import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from django.apps import apps
from django.core.management import call_command
from django.db import connection

from benchmarks.audit.changes import (
    Change,
    audited,
    leave_unguarded,
    make_services,
    saved,
    unaudited,
    with_plain_insert,
)
from benchmarks.audit.sizes import Sizes
from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, processor_seconds
from benchmarks.results import Result, at_most, told
from keys.models import Service

HAS_AUDITLOG = apps.is_installed("auditlog")
if HAS_AUDITLOG:
    from auditlog.context import set_actor
    from auditlog.registry import auditlog


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Milliseconds of processor for one change: ours, and the database's."""

    client: float
    server: float

    @property
    def both(self) -> float:
        return self.client + self.server


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Count the processor time of each way to make the same change."""
    guarded, unguarded = cluster.create("cpu_audited"), cluster.create("cpu_plain")
    leave_unguarded(cluster, unguarded)
    if HAS_AUDITLOG:
        _add_auditlog(cluster, unguarded)
    services = {}
    for database in (guarded, unguarded):
        cluster.use(database)
        services[database] = make_services(32)
    ways: dict[str, tuple[str, Change]] = {
        "audited": (guarded, audited),
        "unaudited": (unguarded, unaudited),
        "plain": (unguarded, with_plain_insert),
        "saved": (unguarded, saved),
    }
    if HAS_AUDITLOG:
        ways["auditlog"] = (unguarded, saved)
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    numbers = itertools.count()

    def run(name: str) -> float:
        database, change = ways[name]
        cluster.use(database)
        watched = HAS_AUDITLOG and name == "auditlog"
        if watched:
            auditlog.register(Service)
        try:
            with set_actor(None, remote_addr="192.0.2.7") if watched else nullcontext():
                cost = _cost(change, services[database], sizes.cpu_changes, numbers)
        finally:
            if watched:
                auditlog.unregister(Service)
        costs[name].append(cost)
        return cost.both

    turns: dict[str, Callable[[], float]] = {name: (lambda name=name: run(name)) for name in ways}  # type: ignore[misc]
    by_turns(turns, rounds=sizes.cpu_rounds)
    for database in (guarded, unguarded):
        cluster.drop(database)
    return _results(costs)


def _cost(change: Change, services: Sequence[Service], times: int, numbers: itertools.count[int]) -> Cost:
    """Make the change so often, after a few that open the connection and fill what is cached."""
    for _ in range(max(5, times // 10)):
        change(services[next(numbers) % len(services)], f"warm {next(numbers)}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = cursor.fetchone()[0]
    before = processor_seconds(os.getpid()), processor_seconds(server)
    for _ in range(times):
        change(services[next(numbers) % len(services)], f"change {next(numbers)}")
    after = processor_seconds(os.getpid()), processor_seconds(server)
    return Cost(client=(after[0] - before[0]) / times * 1e3, server=(after[1] - before[1]) / times * 1e3)


def _results(costs: dict[str, list[Cost]]) -> list[Result]:
    audited_, plain, saved_ = costs["audited"], costs["unaudited"], costs["saved"]
    ours = [one.both - other.both for one, other in zip(audited_, plain, strict=True)]
    whole = statistics.median(one.both / other.both for one, other in zip(audited_, plain, strict=True))
    found = [at_most("CPU of an audited change / the same change untold (client + server)", whole, 1.5, "x")]
    metric = "CPU that the log adds / CPU that django-auditlog adds (client + server)"
    if "auditlog" in costs:
        theirs = [one.both - other.both for one, other in zip(costs["auditlog"], saved_, strict=True)]
        shares = [one / other for one, other in zip(ours, theirs, strict=True)]
        found.append(at_most(metric, statistics.median(shares), 0.5, "x"))
    else:
        found.append(at_most(f"{metric}; it is not installed", None, 0.5, "x"))
    plainly = [one.both / other.both for one, other in zip(audited_, costs["plain"], strict=True)]
    found.append(told("CPU of an audited change / the same change and a plain insert", statistics.median(plainly), "x"))
    words = {
        "audited": "audited change",
        "unaudited": "the same change untold",
        "plain": "the same change and a plain insert",
        "saved": "the same change by Model.save()",
        "auditlog": "the same change by Model.save() under django-auditlog",
    }
    for name, each in costs.items():
        found.append(told(f"{words[name]}, CPU of the client", statistics.median(one.client for one in each), "ms"))
        found.append(told(f"{words[name]}, CPU of the server", statistics.median(one.server for one in each), "ms"))
    return found


def _add_auditlog(cluster: Cluster, database: str) -> None:
    """Make the tables of django-auditlog, as the superuser, and let the application write them."""
    cluster.use(database)
    connection.settings_dict["USER"], user = "postgres", connection.settings_dict["USER"]
    call_command("migrate", "auditlog", verbosity=0, interactive=False)
    connection.settings_dict["USER"] = user
    cluster.use(database)
    with cluster.superuser(database) as superuser:
        superuser.execute("GRANT SELECT, INSERT ON public.auditlog_logentry TO keystead_application")
