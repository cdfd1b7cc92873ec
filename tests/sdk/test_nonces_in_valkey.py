"""What several processes remember together in Valkey: a signature is accepted once, and never on a memory that was lost."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import redis
from keystead_client import ValkeyNonces
from keystead_client.nonces import DOUBT_SECONDS, KEPT_SECONDS, NonceStore, NonceStoreUnavailable
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.sdk.node import CLIENT, need_node

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


def spend(store: NonceStore, nonce: str, *, kid: str = KID, age: int = 0, clock: float = 0) -> bool:
    """Spend a nonce of a signature that is `age` seconds old, by a clock that is ahead by `clock`."""
    now = time.time()
    return store.spend(kid, nonce, created=int(now) - age, now=now + clock)


def code_of(store: NonceStore, nonce: str, **more: float) -> str:
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
    assert -2 <= kept / 1000 - created - KEPT_SECONDS < 60


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


# As little of a client as a store needs: one command at a time, and four kinds of answers.
IN_NODE = """
import { connect } from "node:net";
import { createInterface } from "node:readline";
const { ValkeyNonces } = await import(process.argv[1]);
const socket = connect(process.argv[2]);
const send = (command) => new Promise((resolve, reject) => {
  let said = "";
  const read = (part) => {
    said += part.toString("latin1");
    const end = said.indexOf("\\r\\n");
    const [kind, rest] = [said[0], said.slice(1, end)];
    if (end < 0 || (kind === "$" && said.length < end + 4 + Number(rest))) return;
    socket.off("data", read);
    if (kind === "-") reject(new Error(rest));
    else resolve(kind === ":" ? Number(rest) : kind === "$" ? said.slice(end + 2, -2) : rest);
  };
  socket.on("data", read);
  socket.write(`*${command.length}\\r\\n` + command.map((each) => `$${each.length}\\r\\n${each}\\r\\n`).join(""));
});
await send(["SELECT", process.argv[3]]);
const store = new ValkeyNonces(send);
for await (const line of createInterface({ input: process.stdin })) {
  const { kid, nonce, created, now } = JSON.parse(line);
  console.log(JSON.stringify(await store.spend(kid, nonce, { created, now }).catch((error) => error.code)));
}
process.exit();
"""


class InNode:
    """The store of the client for TypeScript, asked as the one of the client for Python is."""

    blocking = True

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program

    def spend(self, kid: str, nonce: str, *, created: int, now: float) -> bool:
        asked, told = self._program.stdin, self._program.stdout
        assert asked is not None
        assert told is not None
        asked.write(json.dumps({"kid": kid, "nonce": nonce, "created": created, "now": now}) + "\n")
        asked.flush()
        said = json.loads(told.readline())
        if isinstance(said, str):
            raise NonceStoreUnavailable("in Node", code=said)
        return bool(said)


@contextmanager
def store_in_node() -> Iterator[InNode]:
    need_node()
    place = redis.Redis.from_url(os.environ["REDIS_URL"]).connection_pool.connection_kwargs
    client = (CLIENT / "dist/src/valkeyNonces.js").as_uri()
    command = ["node", "--input-type=module", "--eval", IN_NODE, client, place["path"], str(place.get("db", 0))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        yield InNode(program)
        program.terminate()


def test_programs_in_node_share_the_store_and_its_doubts(store, valkey):
    with store_in_node() as other:
        assert [spend(store, "a" * 22), spend(other, "a" * 22)] == [True, False]
        assert [spend(other, "b" * 22), spend(store, "b" * 22)] == [True, False]
        assert code_of(other, "c" * 22, clock=-10) == "nonce_store_unavailable"
        for lose in (valkey.flushdb, valkey.script_flush):
            lose()
            for each in (other, store):
                assert code_of(each, "b" * 22) == "nonce_store_young"
            valkey.set(START, int(time.time()) - DOUBT_SECONDS - 2)
            assert [spend(store, f"{lose.__name__:-<22}"), spend(other, f"{lose.__name__:-<22}")] == [True, False]
