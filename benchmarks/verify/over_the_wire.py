"""Time receipts for programs that verify in their own process: the clients themselves, over HTTP, site and feed beside them."""

from __future__ import annotations

import gc
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from audit import clock
from benchmarks.cluster import ROOT, Cluster
from benchmarks.measuring import percentile, processor_seconds
from benchmarks.results import Result, at_most, told
from benchmarks.verify.population import populate
from benchmarks.verify.receipts import PATIENCE, stop
from benchmarks.verify.serving import free_port, running
from benchmarks.verify.sizes import Sizes
from keys import doorbell
from keys.models import Verifier
from portal import embedded
from portal.engines import die_with_parent

GOALS = {100: 50.0, 500: 100.0}  # milliseconds, by how many programs there are
PROCESSES = 4
PROGRAM = """
import signal, sys, threading
from keystead_client import LocalVerifier
sys.setswitchinterval(0.1)  # many share an interpreter here, as no programs do: they take turns where they wait, and do not fight for it
place, count, url, credential = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
verifiers = [LocalVerifier(url, credential=credential, name=f"{place}-{n}", timeout=20) for n in range(count)]
for verifier in verifiers:
    verifier.start(wait=0)
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
over.wait()
"""


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """For each number of programs: how long a stop takes to be everywhere, and what the feed costs when nothing happens."""
    found = populate(cluster, "wire", count=2 * len(sizes.programs) * sizes.stops + 10)
    results: list[Result] = []
    gc.freeze()  # as the site does when it is loaded (portal/serving.py): stops are answered by this process
    settings.REDIS_URL = cluster.layout.redis_url
    for count in sizes.programs:
        for who, commands in (("programs on this machine", _clients), ("programs elsewhere", _crowd)):
            with (
                embedded.Engines(cluster.layout, with_postgres=False),
                _keystead(cluster) as (url, feed),
                _running(commands(url, found.credential, count), count),
            ):
                idle = _cost_of(feed, 5.0)
                times = [stop(found, verifiers=count) for _ in range(sizes.stops)]
            goal = GOALS.get(count, 100.0)
            results += [
                at_most(f"receipt, {count} {who}, over HTTP, p99", percentile(times, 0.99), goal, "ms"),
                told(f"the same, median, {count} {who}", statistics.median(times), "ms"),
                told(f"the feed at rest, {count} {who}: share of a core", idle, "x"),
            ]
    return results


def _cost_of(process: int, seconds: float) -> float:
    before = processor_seconds(process)
    time.sleep(seconds)
    return (processor_seconds(process) - before) / seconds


@contextmanager
def _keystead(cluster: Cluster) -> Iterator[tuple[str, int]]:
    """The site and the feed, as the one-command start runs them; the site's address, and the process that holds the lines."""
    port, feed_port = free_port(), free_port()
    environment = {
        **cluster.environment("wire"),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "REDIS_URL": cluster.layout.redis_url,
        "PORT": str(port),
        "KEYSTEAD_PUBLIC_URL": f"http://localhost:{port}",
        "KEYSTEAD_FEED_BIND": f"127.0.0.1:{feed_port}",
        "KEYSTEAD_FEED_URL": f"http://127.0.0.1:{feed_port}/v1/feed",
    }
    site = [sys.executable, "-m", "gunicorn", "--config=python:portal.serving"]
    with running(site, environment), running([sys.executable, "-m", "portal.verify.feed"], environment) as feed:
        children = Path(f"/proc/{feed.pid}/task/{feed.pid}/children")
        deadline = time.monotonic() + PATIENCE
        while not children.read_text().split() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(3)
        yield f"http://127.0.0.1:{port}", max(map(int, children.read_text().split()), key=processor_seconds)


def _clients(url: str, credential: str, count: int) -> list[list[str]]:
    """The clients themselves, in a few processes."""
    share = max(1, count // PROCESSES)
    words = [str(share), url, credential]
    return [[sys.executable, "-c", PROGRAM, f"p{place}", *words] for place in range(count // share)]


def _crowd(url: str, credential: str, count: int) -> list[list[str]]:
    """What stands for clients that have machines of their own: this one has two cores, and Keystead is to have them."""
    return [[sys.executable, "-m", "benchmarks.verify.crowd", url, credential, str(count)]]


@contextmanager
def _running(commands: list[list[str]], count: int) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sdk" / "python" / "src")}
    processes = [
        subprocess.Popen(each, cwd=ROOT, env=environment, preexec_fn=die_with_parent(signal.SIGKILL))  # noqa: PLW1509 - one thread
        for each in commands
    ]
    try:
        deadline = time.monotonic() + PATIENCE
        while Verifier.objects.filter(stopped_at=None, valid_until__gt=clock.now()).count() < count:
            if time.monotonic() > deadline:
                raise RuntimeError("the programs did not start")
            time.sleep(0.2)
        time.sleep(3)  # until each has called the bell
        doorbell._silent_until = 0.0  # noqa: SLF001 - what was out of order before is another measure's
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
        Verifier.objects.update(stopped_at=clock.now(), valid_until=clock.now())
