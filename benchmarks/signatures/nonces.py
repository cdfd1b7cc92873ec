"""Remember nonces in a real Valkey: how many bytes each takes, and what it costs to spend one beside one plain look-up."""

from __future__ import annotations

import secrets
import statistics
import time

import redis

from benchmarks.cluster import Cluster
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, at_most, told
from benchmarks.signatures.sizes import Sizes
from keys.nonces.in_valkey import START, NoncesInValkey
from portal import embedded

KID = "8nbmcDHypESyDn"
BATCH = 500  # on the way at once
AHEAD = 3_600  # seconds; so that none is forgotten in its time before the last is there, however slow the machine


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """Fill a store of its own, then spend one by one."""
    with embedded.Engines(cluster.layout, with_postgres=False):
        address = cluster.layout.redis_url
        with redis.Redis.from_url(address) as client:
            return [result for count in sizes.nonces for result in _bytes(client, address, count)] + _spending(
                client, address, sizes
            )


def settle(client: redis.Redis) -> None:
    """Begin with an empty store that has been there for an hour."""
    client.flushdb()
    client.set(START, int(time.time()) - 3600)
    client.script_load(NoncesInValkey.script)


def _bytes(client: redis.Redis, address: str, count: int) -> list[Result]:
    settle(client)
    store, line = NoncesInValkey(address), client.connection_pool.get_connection()
    created = int(time.time()) + AHEAD
    for began in range(0, count, BATCH):
        now, size = time.time(), min(BATCH, count - began)
        line.send_packed_command(
            [store.command(KID, secrets.token_urlsafe(16), created=created, now=now) for _ in range(size)]
        )
        assert [line.read_response() for _ in range(size)] == [1] * size
    client.connection_pool.release(line)
    taken = sum(
        int(client.memory_usage(key, samples=0) or 0) for key in client.scan_iter("keystead:nonces:*", count=1000)
    )
    return [
        at_most(f"a nonce among {count:,} in one slice of time, names of the sets and all", taken / count, 12, "bytes")
    ]


def _spending(client: redis.Redis, address: str, sizes: Sizes) -> list[Result]:
    settle(client)
    store = NoncesInValkey(address)

    def spend() -> float:
        since = time.process_time()
        for _ in range(sizes.spent):
            now = time.time()
            assert store.spend(KID, secrets.token_urlsafe(16), created=int(now), now=now)
        return (time.process_time() - since) / sizes.spent * 1e6

    def look_up() -> float:
        since = time.process_time()
        for _ in range(sizes.spent):
            client.get("a key")
        return (time.process_time() - since) / sizes.spent * 1e6

    found = by_turns({"spend": spend, "look up": look_up}, rounds=max(3, sizes.rounds // 5))
    return [
        told("spend a nonce in Valkey: our processor time", statistics.median(found["spend"]), "us"),
        told("one GET by redis-py: our processor time", statistics.median(found["look up"]), "us"),
        told("spend a nonce / one GET by redis-py", ratio(found["spend"], found["look up"]), "x"),
    ]
