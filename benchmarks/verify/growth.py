"""Measure what a question costs as the keys grow, and how much memory each takes: without a server, in one process."""

from __future__ import annotations

import gc
import io
import json
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from benchmarks.cluster import Cluster
from benchmarks.measuring import held_bytes, in_child
from benchmarks.results import Result, at_most, told
from benchmarks.verify.sizes import Sizes
from keys.crypto.digests import digest
from keys.verification.counting.tallies import Tallies
from keys.verification.memory import lease
from keys.verification.memory.feed import Feed
from keys.verification.memory.loading import inside
from keys.verification.memory.snapshot import Entry, Grant, Held, Place
from portal.verify.memory import Memory
from portal.verify.quick.verdicts import QuickVerdicts

FLAT = 1.6  # a dictionary of a million does not fit the caches of the processor; more than that would be our doing


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Each size in a process of its own."""
    results, costs = [], []
    folder = cluster.layout.data / "growth"
    for versions in sizes.versions:
        cost, each = in_child(lambda count=versions: _one(count, sizes.questions, folder))  # type: ignore[misc]
        costs.append(cost)
        results += [
            told(f"a question, {versions:,} keys in memory", cost, "us"),
            told(f"memory a key, {versions:,} keys", each, "bytes"),
        ]
    return [
        *results,
        at_most("a question with the most keys over one with the fewest", costs[-1] / costs[0], FLAT, "x"),
    ]


def _one(count: int, questions: int, folder: object) -> tuple[float, ...]:
    place = Place(uuid4(), uuid4(), service="orders", environment="prod", staleness=3, fresh_until=float("inf"))
    own = Place(
        uuid4(), place.environment_id, service="keystead", environment="prod", staleness=3, fresh_until=float("inf")
    )
    shared = inside({"service": "orders", "environment": "prod", "scopes": ["orders:read"], "owner_team": "orders"})
    grant = Grant(place, "bearer", uuid4(), ("orders:read",), (), is_open=True, told=shared)
    asking = Grant(own, "bearer", uuid4(), ("keys:verify",), (), asks=place, is_open=True, told=shared)
    feed = Feed(name="growth")
    feed.offset = time.time() - lease.clock()
    gc.collect()
    before = held_bytes()
    for number in range(count):
        text = _text(number)
        feed.snapshot.put(key := uuid4(), Held(entries={digest(text): _entry(number, key, grant)}))
    each = (held_bytes() - before) / count
    feed.snapshot.put(key := uuid4(), Held(entries={digest("credential"): _entry(-1, key, asking)}))
    quick = QuickVerdicts(Memory(feed, Tallies(folder)))  # type: ignore[arg-type]
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_AUTHORIZATION": "Bearer credential",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "REMOTE_ADDR": "127.0.0.1",
    }
    # Spread over all keys, by a step that has no divisor in common with any of the sizes.
    bodies = [json.dumps({"key": _text(place * 7919 % count)}).encode() for place in range(min(questions, 20_000))]
    gc.disable()
    began = time.process_time()
    for turn in range(questions):
        body = bodies[turn % len(bodies)]
        asked = environ | {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        if not isinstance(quick.answer(asked), bytes):
            raise RuntimeError("the quick way was not taken")
    return (time.process_time() - began) / questions * 1e6, each


def _text(number: int) -> str:
    return f"ks_prod_{number:014d}_{number:049d}"


def _entry(number: int, key: object, grant: Grant) -> Entry:
    ends = datetime.now(tz=UTC) + timedelta(days=30)
    own = {
        "kid": f"{number:014d}",
        "key": f"KEY-{number}",
        "name": f"Report {number}",
        "consumer": f"report-{number}",
        "expires_at": ends.isoformat(timespec="milliseconds"),
    }
    return Entry(uuid4(), key, inside(own), grant, ends.timestamp(), ends.timestamp())  # type: ignore[arg-type]
