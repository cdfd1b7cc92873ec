"""Remember nonces in Valkey: exact, about nine bytes each, never forgetting early, refusing when it cannot know.

Members lie in sets of small numbers, which Valkey packs (intset: eight bytes a member, at most 512 members). A slice of
time has several levels of such sets, each with eight times as many; a level takes members until its sets are full enough,
then the next begins. So a set is never sparse for long and never unpacked.

A flush takes the start marker with it: the next request writes a new one, and what was signed before it is refused. A
restart (also from an old dump), a failover and SCRIPT FLUSH take the script with them: only who has written a new marker
loads it again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError
from redis.retry import Retry

from keys.nonces.line import PATIENCE, Line, array_of, packed
from keys.nonces.members import DOUBT_SECONDS, KEPT_SECONDS, NonceStoreUnavailable, Signed, member

SLICE_SECONDS: Final = 32
SETS_OF_LEVEL: Final = (16, 128, 1024, 8192)
# Members that a level takes: 420 of 512 a set on average, six standard deviations below the end of the packing.
LEVEL_ENDS: Final = (16 * 400, 16 * 400 + 128 * 410, 16 * 400 + 128 * 410 + 1024 * 410)
CAPACITY: Final = 4_000_000  # in one slice: 125,000 a second; more is refused, nothing is forgotten
GREATEST_CLOCK_DIFFERENCE: Final = 10
CHECKED_EVERY_SECONDS: Final = 30.0
START: Final = "keystead:nonces:start"

_SCRIPT: Final = """
local now = tonumber(redis.call('TIME')[1])
local created, client_now = tonumber(ARGV[2]), tonumber(ARGV[3])
if math.abs(now - client_now) > tonumber(ARGV[5]) then return -3 end
local start = redis.call('GET', KEYS[1])
if not start then
    redis.call('SET', KEYS[1], now)
    start = now
end
if created <= tonumber(start) + tonumber(ARGV[4]) then return -1000000000 - tonumber(start) end
local count = tonumber(redis.call('GET', KEYS[2]) or '0')
local place
for level = 1, #KEYS - 2 do
    place = KEYS[level + 2]
    if redis.call('SISMEMBER', place, ARGV[1]) == 1 then return 0 end
    local ends = tonumber(ARGV[7 + level])
    if not ends or count < ends then break end
end
if count >= tonumber(ARGV[6]) then return -2 end
redis.call('SADD', place, ARGV[1])
redis.call('EXPIREAT', place, ARGV[7], 'NX')
redis.call('INCR', KEYS[2])
redis.call('EXPIREAT', KEYS[2], ARGV[7], 'NX')
return 1
"""
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # how Valkey names a script
_BEGIN: Final = "redis.call('SET', KEYS[1], redis.call('TIME')[1]) return 1"
_BEGIN_UNLESS_BEGUN: Final = "redis.call('SET', KEYS[1], redis.call('TIME')[1], 'NX') return 1"
_TAKEN, _FRESH, _FULL, _CLOCK = 0, 1, -2, -3
_YOUNG_BELOW: Final = -1_000_000_000


class ValkeyDown(Exception):
    """Valkey did not answer, or may forget what it is told."""


class NoncesInValkey:
    """The nonces that one Valkey remembers."""

    script: Final = _SCRIPT

    def __init__(self, address: str, *, capacity: int = CAPACITY) -> None:
        self._client = redis.Redis.from_url(
            address,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 1),
        )
        self._line = Line(address)
        # What is the same in every call is written once: writing it costs more than the rest of the call.
        count = 2 + len(SETS_OF_LEVEL)
        self._head = array_of(3 + count + 7 + len(LEVEL_ENDS)) + packed("EVALSHA", _SHA, str(count), START)
        self._rules = packed(str(DOUBT_SECONDS), str(GREATEST_CLOCK_DIFFERENCE), str(capacity))
        self._ends = packed(*map(str, LEVEL_ENDS))
        self._checked_at = float("-inf")

    def spend(self, kid: str, nonce: str, *, created: int, now: float) -> bool:
        """Remember a nonce; False when it is remembered already. NonceStoreUnavailable, or ValkeyDown."""
        return self._told(self._run(self.command(kid, nonce, created=created, now=now)), now=now)

    def spend_all(self, signed: Sequence[Signed]) -> list[bool | NonceStoreUnavailable | ValkeyDown]:
        """Remember many nonces in one exchange: for each what `spend` says, or what it raises."""
        try:
            self._check_now_and_then()
        except (ValkeyDown, redis.RedisError) as error:
            return [_down(error)] * len(signed)
        commands = [self.command(each.kid, each.nonce, created=each.created, now=each.now) for each in signed]
        answers = self._line.ask_all(commands)
        return [self._outcome(answer, each) for answer, each in zip(answers, signed, strict=True)]

    def _outcome(self, answer: Any, signed: Signed) -> bool | NonceStoreUnavailable | ValkeyDown:  # Any: of any command
        if answer == _FRESH:
            return True
        try:
            if isinstance(answer, ResponseError):
                # The script is not there, or memory is full: nothing was done, so it may be asked again, by itself.
                return self.spend(signed.kid, signed.nonce, created=signed.created, now=signed.now)
            if isinstance(answer, redis.RedisError):
                return _down(answer)
            return self._told(int(answer), now=signed.now)
        except (NonceStoreUnavailable, ValkeyDown) as unavailable:
            return unavailable

    def command(self, kid: str, nonce: str, *, created: int, now: float) -> bytes:
        """Write the call of the script that spends a nonce."""
        digest = member(kid, nonce)
        begin = created - created % SLICE_SECONDS
        prefix = f"keystead:nonces:{begin}:"
        places = [f"{prefix}{sets}:{digest % sets}" for sets in SETS_OF_LEVEL]
        until = begin + SLICE_SECONDS + KEPT_SECONDS
        words = (f"{prefix}count", *places, str(digest), str(created), str(int(now)))
        return self._head + packed(*words) + self._rules + packed(str(until)) + self._ends

    def begin_early(self) -> bool:
        """Begin what the first request would begin, so that it is not refused as too early; whether that is done."""
        try:
            self._check()
            if self._client.script_exists(_SHA)[0]:
                self._client.eval(_BEGIN_UNLESS_BEGUN, 1, START)
            else:
                self._begin()
        except (ValkeyDown, redis.RedisError):
            return False
        return True

    def ping(self) -> bool:
        """Whether Valkey answers and may be used."""
        try:
            self._check()
        except (ValkeyDown, redis.RedisError):
            return False
        return True

    def _told(self, answer: int, *, now: float) -> bool:
        if answer in (_TAKEN, _FRESH):
            return answer == _FRESH
        if answer == _FULL:
            raise NonceStoreUnavailable("nonce_store_full", retry_after=SLICE_SECONDS)
        if answer == _CLOCK:
            raise NonceStoreUnavailable("nonce_store_unavailable", retry_after=10)
        start = _YOUNG_BELOW - answer
        raise NonceStoreUnavailable("nonce_store_young", retry_after=max(1, int(start + DOUBT_SECONDS + 1 - now)))

    def _run(self, command: bytes) -> int:
        try:
            self._check_now_and_then()
            try:
                return int(self._line.ask(command))
            except NoScriptError:
                self._begin()
                return int(self._line.ask(command))
        except OutOfMemoryError:
            raise NonceStoreUnavailable("nonce_store_full", retry_after=5) from None
        except redis.RedisError as error:
            raise _down(error) from None

    def _check_now_and_then(self) -> None:
        if time.monotonic() - self._checked_at > CHECKED_EVERY_SECONDS:
            self._check()

    def _check(self) -> None:
        """See that Valkey never evicts: a bounded memory that forgets the oldest is an attacker's way in."""
        memory: Any = self._client.info("memory")
        if int(memory.get("maxmemory", 0)) and memory.get("maxmemory_policy") != "noeviction":
            raise ValkeyDown("it evicts")
        self._checked_at = time.monotonic()

    def _begin(self) -> None:
        """Write the marker first and load the script second: who finds the script finds a marker of this life."""
        self._client.eval(_BEGIN, 1, START)
        self._client.script_load(self.script)


def _down(error: Exception) -> ValkeyDown:
    return error if isinstance(error, ValkeyDown) else ValkeyDown(type(error).__name__)
