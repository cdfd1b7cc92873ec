"""Time receipts: from the commit of a revocation until every verifier has acknowledged it, with many of them following."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from audit import clock
from audit.actor import Actor, ActorKind, Auth, StepUp
from benchmarks.cluster import ROOT, Cluster
from benchmarks.measuring import percentile
from benchmarks.results import Result, at_most, told
from benchmarks.verify.population import Population, populate
from benchmarks.verify.sizes import Sizes
from keys import doorbell
from keys.lifecycle.revocation import revoke_key
from keys.models import Verifier
from keys.states import RevocationReason
from keys.verification.watching.receipts import How, stop_with_receipt
from portal import embedded
from portal.engines import die_with_parent

PROCESSES = 4
GOAL = 50.0
PATIENCE = 120.0  # seconds until all of them have begun
FOLLOWING = """
import sys, signal, threading
import django
django.setup()
from keys.verification.memory.feed import Feed
sys.setswitchinterval(0.001)
feeds = [Feed(name=f"{sys.argv[1]}-{n}").start() for n in range(int(sys.argv[2]))]
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
over.wait()
for feed in feeds:
    feed.stop()
"""


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Once woken by Valkey, once without it."""
    found = populate(cluster, "receipts", count=2 * sizes.stops + 10)
    results = []
    settings.REDIS_URL = cluster.layout.redis_url
    with embedded.Engines(cluster.layout, with_postgres=False), _following(cluster, sizes.verifiers):
        times = [stop(found, verifiers=sizes.verifiers) for _ in range(sizes.stops)]
        results += [
            at_most(f"receipt, {sizes.verifiers} verifiers woken by Valkey, p99", percentile(times, 0.99), GOAL, "ms"),
            told("the same, median", statistics.median(times), "ms"),
        ]
    with _following(cluster, sizes.verifiers):
        times = [stop(found, verifiers=sizes.verifiers) for _ in range(max(2, sizes.stops // 5))]
    return [*results, at_most("receipt without Valkey, the slowest", max(times), 3_000, "ms")]


def stop(found: Population, *, verifiers: int) -> float:
    """Revoke a key and wait until that is everywhere; the milliseconds between its commit and the receipt."""
    key, _ = found.keys.pop()
    revoke_key(key, actor=_responder(found), reason=RevocationReason.KEY_COMPROMISE)
    began = time.perf_counter()
    receipt = stop_with_receipt(key, action="revoked")
    took = (time.perf_counter() - began) * 1000
    words = [word["how"] for word in receipt.verifiers]
    if words.count(How.ACKNOWLEDGED) != verifiers:
        print(f"  {words.count(How.ACKNOWLEDGED)} of {verifiers} acknowledged")
    return took


@contextmanager
def _following(cluster: Cluster, verifiers: int) -> Iterator[None]:
    environment = {**cluster.environment("receipts"), "DJANGO_SETTINGS_MODULE": "portal.settings"}
    environment["REDIS_URL"] = cluster.layout.redis_url
    share = max(1, verifiers // PROCESSES)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FOLLOWING, f"v{place}", str(share)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one thread
        )
        for place in range(verifiers // share)
    ]
    doorbell._silent_until = 0.0  # noqa: SLF001 - what was out of order before is another measure's
    try:
        deadline = time.monotonic() + PATIENCE
        while Verifier.objects.filter(stopped_at=None, valid_until__gt=clock.now()).count() < verifiers:
            if time.monotonic() > deadline:
                raise RuntimeError("the verifiers did not start")
            time.sleep(0.1)
        time.sleep(2)  # until each has heard the bell's first answer
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def _responder(found: Population) -> Actor:
    at = clock.now()
    step_up = StepUp(purpose="revoke", method="passkey", at=at)
    auth = Auth(mfa=True, methods=("passkey",), at=at, assurance="aal2", step_ups=(step_up,))
    return Actor(kind=ActorKind.PERSON, id=str(found.person.pk), name=found.person.name, session="5e" * 32, auth=auth)
