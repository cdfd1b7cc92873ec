"""Time signed requests over HTTP, each with a nonce that is spent in Valkey, beside a Django view with one look-up in Valkey."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import redis
from django.db import connections

from benchmarks.cluster import Cluster
from benchmarks.emergency.population import make_keys
from benchmarks.measuring import by_turns, ratio
from benchmarks.results import Result, at_least, at_most, told
from benchmarks.signatures.nonces import settle
from benchmarks.signatures.site import TOKENS
from benchmarks.signatures.sizes import Sizes
from benchmarks.verify.load import Driven, drive, question
from benchmarks.verify.population import SYSTEM, Population, populate
from benchmarks.verify.serving import Server, serving
from keys.states import KeyKind
from portal import embedded
from tests.signing import Call, by_hmac

SITE = "benchmarks.signatures.site:application"
TOKEN = "the token of a service"
BUSY = {"connections": 64, "depth": 8}  # the server never waits for us
CLOSED = {"connections": 16, "depth": 1}  # each asks again when it was answered
GOAL = 3


def measure(cluster: Cluster, sizes: Sizes) -> list[Result]:
    """By turns; every request has a nonce of its own."""
    found = populate(cluster, "signed", count=1)
    [(key, secret)] = make_keys(found.owners, count=1, actor=SYSTEM, kind=KeyKind.HMAC_SHA256)
    kid = key.versions.get().kid
    connections.close_all()
    address = cluster.layout.redis_url
    environment = {**cluster.environment("signed"), "REDIS_URL": address}
    theirs = {**environment, "DJANGO_SETTINGS_MODULE": "benchmarks.signatures.site"}
    with embedded.Engines(cluster.layout, with_postgres=False), redis.Redis.from_url(address) as valkey:
        _remember_for_an_hour(cluster, valkey)
        valkey.set(TOKENS + hashlib.sha256(TOKEN.encode()).hexdigest(), "orders")
        return _beside(found, kid, secret, (environment, theirs), sizes)


def _beside(
    found: Population, kid: str, secret: str, environments: tuple[dict[str, str], dict[str, str]], sizes: Sizes
) -> list[Result]:
    driven: dict[str, list[Driven]] = {}
    ours, theirs = environments
    with serving("portal.verify", ours) as door, serving(SITE, theirs) as django:

        def run(name: str, server: Server, path: str, token: str, **shape: int) -> float:
            apart = int(sizes.fastest * sizes.seconds / shape["connections"])
            asked = _signed(token, kid, secret, path, count=apart * shape["connections"])
            done = drive(server, asked, seconds=sizes.seconds, apart=apart, **shape)
            driven.setdefault(name, []).append(done)
            return done.rate

        def variants(word: str, **shape: int) -> dict[str, Callable[[], float]]:
            return {
                f"door{word}": partial(run, f"door{word}", door, "/v1/verify-signature", found.credential, **shape),
                f"django{word}": partial(run, f"django{word}", django, "/check", TOKEN, **shape),
            }

        rates = by_turns(variants("", **BUSY) | variants(" closed", **CLOSED), rounds=sizes.turns)
    cpu = {name: [each.cpu for each in rounds] for name, rounds in driven.items()}
    p99 = statistics.median(each.p99 for each in driven["door closed"])
    off = max(abs(each.accepted / each.answers - 1) for rounds in driven.values() for each in rounds)
    name = "a Django view with one look-up in Valkey"
    asked = "signed requests over HTTP, nonce in Valkey"
    return [
        at_least(f"{asked}, over {name}, saturated", ratio(rates["door"], rates["django"]), GOAL, "x"),
        told("the same, 16 connections that wait", ratio(rates["door closed"], rates["django closed"]), "x"),
        told(f"the same by CPU of the worker: {name} over ours", ratio(cpu["django"], cpu["door"]), "x"),
        told("/v1/verify-signature, HMAC, nonce in Valkey", statistics.median(rates["door"]), "req/s"),
        told(name, statistics.median(rates["django"]), "req/s"),
        told("CPU of /v1/verify-signature", statistics.median(cpu["door"]), "us"),
        told(f"CPU of {name}", statistics.median(cpu["django"]), "us"),
        told("p99 of /v1/verify-signature, 16 connections", p99, "ms"),
        at_most("share of answers that were no yes", off, 0.02, ""),
    ]


def _signed(token: str, kid: str, secret: str, path: str, *, count: int) -> list[bytes]:
    """Sign so many requests now, each anew, and write what a service asks about them."""
    call, sign, now = Call(path="/v1/withdrawals", query="a=1&b=2"), by_hmac(secret), int(time.time())
    asked = []
    for _ in range(count):
        headers = call.signed(sign, kid=kid, algorithm=KeyKind.HMAC_SHA256, created=now)
        told = {"method": call.method, "authority": call.authority, "path": call.path, "query": call.query}
        body = json.dumps({**told, "headers": headers}).encode()
        asked.append(question(path, body, Authorization=f"Bearer {token}"))
    return asked


def _remember_for_an_hour(cluster: Cluster, valkey: redis.Redis) -> None:
    """As in an installation that runs: a store that is new refuses what was signed before it."""
    settle(valkey)
    with cluster.superuser("signed") as connection:
        connection.execute(
            "INSERT INTO keys_noncestore (id, store, since) VALUES (1, 'valkey', clock_timestamp() - interval '1 hour')"
        )
