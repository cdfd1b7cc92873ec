"""What several processes remember together in Valkey: a signature is accepted once, and never on a memory that was lost."""

from __future__ import annotations

import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from keystead_client import ValkeyNonces
from keystead_client.nonces import DOUBT_SECONDS, KEPT_SECONDS, NonceStoreUnavailable
from redis.backoff import NoBackoff
from redis.retry import Retry

KID = "8nbmcDHypESyDn"
START = "{keystead-nonces}:start"


@pytest.fixture
def store(valkey: redis.Redis) -> ValkeyNonces:
    """One whose Valkey has been up for an hour."""
    store = ValkeyNonces(valkey)
    settle(valkey, store)
    return store


def settle(valkey: redis.Redis, store: ValkeyNonces) -> None:
    """Let it begin, and make as if that had been an hour ago."""
    valkey.script_flush()
    with pytest.raises(NonceStoreUnavailable, match="before"):
        spend(store, "first" * 5)
    valkey.set(START, int(time.time()) - 3600)


def spend(store: ValkeyNonces, nonce: str, *, kid: str = KID, age: int = 0, clock: float = 0) -> bool:
    """Spend a nonce of a signature that is `age` seconds old, by a clock that is ahead by `clock`."""
    now = time.time()
    return store.spend(kid, nonce, created=int(now) - age, now=now + clock)


def code_of(store: ValkeyNonces, nonce: str, **more: float) -> str:
    with pytest.raises(NonceStoreUnavailable) as refused:
        spend(store, nonce, **more)  # type: ignore[arg-type]
    return refused.value.code


def test_a_nonce_is_accepted_once_by_all_who_share_it(store, valkey):
    other = ValkeyNonces(redis.Redis.from_url(os.environ["REDIS_URL"]))
    told = [each.spend(kid, "n" * 22, created=int(time.time()), now=time.time())
            for each, kid in ((store, KID), (other, KID), (other, "kKQe7vWcYzRrTb"), (store, "kKQe7vWcYzRrTb"))]  # fmt: skip
    assert told == [True, False, True, False]
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(lambda _: spend(store, "m" * 22), range(64))).count(True) == 1


def test_it_is_kept_for_longer_than_any_window_lasts(store, valkey):
    created = int(time.time()) - 30
    assert store.spend(KID, "n" * 22, created=created, now=time.time())
    kept = int(valkey.pexpiretime(f"{{keystead-nonces}}:{KID}:{'n' * 22}"))
    assert kept / 1000 == pytest.approx(created + KEPT_SECONDS, abs=2)


@pytest.mark.parametrize("clock", [-10, 10])
def test_a_clock_that_differs_is_not_believed(store, clock):
    """A slow one would fetch again what is forgotten here."""
    assert code_of(store, secrets.token_urlsafe(16), clock=clock) == "nonce_store_unavailable"


@pytest.mark.parametrize("lost", ["flush", "script flush", "restart from a dump"])
def test_after_a_loss_what_was_signed_before_is_refused(store, valkey, lost):
    assert spend(store, "n" * 22)
    marker = valkey.dump(START)
    if lost != "script flush":
        valkey.flushdb()
    if lost != "flush":
        valkey.script_flush()  # it is never stored, so a restart and a failover are without it
    if lost == "restart from a dump":
        valkey.restore(START, 0, marker)  # an old dump: the marker is in it, the nonce is not
    assert code_of(store, "n" * 22) == "nonce_store_young"
    assert code_of(store, "m" * 22, age=30) == "nonce_store_young"
    valkey.set(START, int(time.time()) - DOUBT_SECONDS - 2)
    assert spend(store, "o" * 22)


def test_a_server_that_evicts_or_has_no_room_is_not_believed(store, valkey):
    before = valkey.config_get("maxmemory*")
    try:
        valkey.config_set("maxmemory", 1 << 30)
        valkey.config_set("maxmemory-policy", "allkeys-lru")
        store._checked_at = float("-inf")
        assert code_of(store, "n" * 22) == "nonce_store_unavailable"
        valkey.config_set("maxmemory-policy", "noeviction")
        assert spend(store, "n" * 22)
        valkey.config_set("maxmemory", 1 << 20)
        assert code_of(store, "m" * 22) == "nonce_store_unavailable"
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            valkey.config_set(name, before[name])


def test_one_that_is_away_or_cannot_be_asked_this_way_refuses(valkey):
    away = redis.Redis(port=1, socket_timeout=0.1, retry=Retry(NoBackoff(), 0))
    for client in (away, valkey.pipeline()):
        assert code_of(ValkeyNonces(client), "n" * 22) == "nonce_store_unavailable"
    with pytest.raises(TypeError, match="asynchronous"):
        ValkeyNonces(redis.asyncio.Redis(port=1))
