"""In Valkey each nonce is accepted once: exactly, for long enough, in few bytes, and never on a memory that was lost."""

import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from keys.nonces import in_valkey
from keys.nonces.in_valkey import LEVEL_ENDS, SETS_OF_LEVEL, SLICE_SECONDS, START, NoncesInValkey, ValkeyDown
from keys.nonces.line import Line
from keys.nonces.members import DOUBT_SECONDS, KEPT_SECONDS, NonceStoreUnavailable, Signed, member

KID = "8nbmcDHypESyDn"


@pytest.fixture
def store(valkey: "redis.Redis") -> NoncesInValkey:
    """A store whose Valkey has been up for an hour."""
    settle(valkey)
    return NoncesInValkey(os.environ["REDIS_URL"])


def settle(valkey: "redis.Redis") -> None:
    """Make as if the marker had been written an hour ago, by whoever loaded the script then."""
    valkey.set(START, int(time.time()) - 3600)
    valkey.script_load(NoncesInValkey.script)


def spend(store: NoncesInValkey, nonce: str, *, kid: str = KID, age: int = 0, now: float | None = None) -> bool:
    """Spend a nonce of a signature that is `age` seconds old."""
    at = time.time() if now is None else now
    return store.spend(kid, nonce, created=int(at) - age, now=at)


def test_a_nonce_is_accepted_once_for_its_key(store: NoncesInValkey) -> None:
    nonce = secrets.token_urlsafe(16)
    created = int(time.time())
    told = [store.spend(kid, nonce, created=created, now=created) for kid in (KID, KID, "kKQe7vWcYzRrTb", KID)]
    assert told == [True, False, True, False]


def test_of_many_at_once_one_is_accepted(store: NoncesInValkey) -> None:
    created = time.time()
    with ThreadPoolExecutor(16) as threads:
        told = list(threads.map(lambda _: store.spend(KID, "n" * 22, created=int(created), now=created), range(64)))
    assert told.count(True) == 1


def test_another_process_knows_it_too(store: NoncesInValkey) -> None:
    created = int(time.time())
    assert store.spend(KID, "n" * 22, created=created, now=created)
    program = (
        "from keys.nonces.in_valkey import NoncesInValkey;"
        f"print(NoncesInValkey({os.environ['REDIS_URL']!r}).spend({KID!r}, 'n' * 22, created={created}, now={created}))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "False"


def test_it_is_kept_for_the_longest_window_of_any_policy(store: NoncesInValkey, valkey: "redis.Redis") -> None:
    created = int(time.time())
    store.spend(KID, "n" * 22, created=created, now=created)
    kept = [int(valkey.expiretime(key)) for key in valkey.keys("keystead:nonces:*") if key != START.encode()]
    assert len(kept) == 2
    assert min(kept) >= created + KEPT_SECONDS > created + 120 + 5


def test_after_a_flush_what_was_signed_before_is_refused(store: NoncesInValkey, valkey: "redis.Redis") -> None:
    created = int(time.time())
    assert store.spend(KID, "n" * 22, created=created, now=created)
    valkey.flushdb()
    with pytest.raises(NonceStoreUnavailable) as refused:
        store.spend(KID, "n" * 22, created=created, now=created)
    assert refused.value.code == "nonce_store_young"
    assert 1 <= (refused.value.retry_after or 0) <= DOUBT_SECONDS + 2
    valkey.set(START, created - DOUBT_SECONDS)
    with pytest.raises(NonceStoreUnavailable):
        store.spend(KID, "m" * 22, created=created, now=created)
    assert store.spend(KID, "m" * 22, created=created + 1, now=created)


@pytest.mark.parametrize("lost", ["script flush", "restart from a dump"])
def test_after_a_restart_the_marker_of_before_counts_for_nothing(
    store: NoncesInValkey, valkey: "redis.Redis", lost: str
) -> None:
    assert spend(store, "n" * 22)
    dump = {key: valkey.dump(key) for key in valkey.keys("*")}
    if lost != "script flush":
        valkey.flushdb()
        for key in (START.encode(),):
            valkey.restore(key, 0, dump[key])  # an old dump: the marker is in it, the nonce is not
    valkey.script_flush()
    with pytest.raises(NonceStoreUnavailable, match="young"):
        spend(store, "n" * 22)


def test_a_full_store_refuses_and_forgets_nothing(valkey: "redis.Redis") -> None:
    settle(valkey)
    store = NoncesInValkey(os.environ["REDIS_URL"], capacity=5)
    created = int(time.time())
    nonces = [f"{number:022}" for number in range(5)]
    assert all(store.spend(KID, nonce, created=created, now=created) for nonce in nonces)
    with pytest.raises(NonceStoreUnavailable, match="full"):
        store.spend(KID, "n" * 22, created=created, now=created)
    assert not any(store.spend(KID, nonce, created=created, now=created) for nonce in nonces)
    assert store.spend(KID, "n" * 22, created=created - SLICE_SECONDS, now=created), "another slice has room"


def test_a_valkey_without_memory_refuses(store: NoncesInValkey, valkey: "redis.Redis") -> None:
    assert spend(store, "n" * 22)
    used = int(valkey.info("memory")["used_memory"])  # type: ignore[index]
    valkey.config_set("maxmemory-policy", "noeviction")
    valkey.config_set("maxmemory", used // 2)
    try:
        with pytest.raises(NonceStoreUnavailable, match="full"):
            spend(store, "m" * 22)
    finally:
        valkey.config_set("maxmemory", 0)
    assert not spend(store, "n" * 22)


def test_a_valkey_that_evicts_is_not_used(valkey: "redis.Redis") -> None:
    settle(valkey)
    valkey.config_set("maxmemory-policy", "allkeys-lru")
    valkey.config_set("maxmemory", 10**9)
    try:
        with pytest.raises(ValkeyDown, match="evicts"):
            spend(NoncesInValkey(os.environ["REDIS_URL"]), "n" * 22)
    finally:
        valkey.config_set("maxmemory", 0)
        valkey.config_set("maxmemory-policy", "noeviction")


def test_clocks_that_differ_too_much_refuse(store: NoncesInValkey) -> None:
    with pytest.raises(NonceStoreUnavailable, match="unavailable"):
        spend(store, "n" * 22, now=time.time() - 60)


def test_thousands_of_nonces_take_at_most_twelve_bytes_each(store: NoncesInValkey, valkey: "redis.Redis") -> None:
    created = int(time.time())
    count = 8_000
    assert store.spend(KID, "first" * 5, created=created, now=created)
    before = int(valkey.info("memory")["used_memory_dataset"])  # type: ignore[index]
    line = Line(os.environ["REDIS_URL"])
    spent = [line.ask(store.command(KID, f"{number:022}", created=created, now=time.time())) for number in range(count)]
    after = int(valkey.info("memory")["used_memory_dataset"])  # type: ignore[index]
    assert spent == [1] * count
    assert valkey.get(f"keystead:nonces:{created - created % SLICE_SECONDS}:count") == str(count + 1).encode()
    encodings = {valkey.object("encoding", key) for key in valkey.scan_iter("keystead:nonces:*:*:*")}
    assert encodings == {b"intset"}, "a set that outgrew the packing takes ten times as much"
    assert (after - before) / count <= 12
    again = [store.spend(KID, f"{number:022}", created=created, now=time.time()) for number in range(0, count, 97)]
    assert not any(again)


def test_levels_follow_each_other_and_all_are_searched(valkey: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    settle(valkey)
    monkeypatch.setattr(in_valkey, "LEVEL_ENDS", (3, 6, 9))
    store = NoncesInValkey(os.environ["REDIS_URL"])
    created = int(time.time())
    nonces = [f"{number:022}" for number in range(12)]
    assert all(store.spend(KID, nonce, created=created, now=created) for nonce in nonces)
    assert not any(store.spend(KID, nonce, created=created, now=created) for nonce in nonces)
    levels = {int(key.split(b":")[3]) for key in valkey.scan_iter("keystead:nonces:*:*:*")}
    assert levels == set(SETS_OF_LEVEL)


def test_a_member_belongs_to_its_key_and_its_nonce() -> None:
    members = {member(kid, nonce) for kid in (KID, KID[:-1]) for nonce in ("a" * 22, "b" * 22, KID[-1] + "a" * 22)}
    assert len(members) == 6
    assert all(-(2**63) <= each < 2**63 for each in members)
    assert len(LEVEL_ENDS) == len(SETS_OF_LEVEL) - 1


def signed(nonce: str) -> Signed:
    return Signed(KID, nonce, int(time.time()), time.time())


def test_of_many_in_one_exchange_each_is_accepted_once(store: NoncesInValkey) -> None:
    assert spend(store, "n" * 22)
    asked = [signed(nonce * 22) for nonce in "anbab"]
    assert store.spend_all(asked) == [True, False, True, False, False]


@pytest.mark.parametrize("lost", ["flushdb", "script_flush"])
def test_of_many_none_is_accepted_by_a_store_that_may_have_forgotten(
    store: NoncesInValkey, valkey: "redis.Redis", lost: str
) -> None:
    assert spend(store, "n" * 22)
    getattr(valkey, lost)()
    outcomes = store.spend_all([signed(nonce * 22) for nonce in "nmo"])
    assert [getattr(each, "code", each) for each in outcomes] == ["nonce_store_young"] * 3


class Broken:
    """A connection that answers so many commands and is lost then, for as many times as `lives` says."""

    def __init__(self, *lives: int) -> None:
        self.lives, self.left, self.sent = list(lives), 0, list[bytes]()

    def send_packed_command(self, commands: list[bytes]) -> None:
        self.left = self.lives.pop(0)
        self.sent += commands

    def read_response(self) -> int:
        if not self.left:
            raise redis.ConnectionError
        self.left -= 1
        return 1

    def disconnect(self) -> None:
        self.left = 0


def test_what_a_lost_line_did_not_answer_is_asked_once_more_and_then_refused(store: NoncesInValkey) -> None:
    line = Line(os.environ["REDIS_URL"])
    line._connection = Broken(1, 2)
    assert line.ask_all([b"a", b"b", b"c"]) == [1, 1, 1]
    assert line._connection.sent == [b"abc", b"bc"]
    store._line._connection = Broken(1, 1)
    store.ping()
    outcomes = store.spend_all([signed(nonce * 22) for nonce in "abc"])
    assert [type(each) for each in outcomes] == [bool, bool, ValkeyDown]


def test_a_valkey_that_evicts_is_asked_about_nobody(valkey: "redis.Redis") -> None:
    settle(valkey)
    valkey.config_set("maxmemory-policy", "allkeys-lru")
    valkey.config_set("maxmemory", 10**9)
    try:
        outcomes = NoncesInValkey(os.environ["REDIS_URL"]).spend_all([signed("n" * 22)])
    finally:
        valkey.config_set("maxmemory", 0)
        valkey.config_set("maxmemory-policy", "noeviction")
    assert [type(each) for each in outcomes] == [ValkeyDown]
