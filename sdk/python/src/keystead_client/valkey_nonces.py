"""Remember accepted signatures in Valkey or Redis, for several processes and machines: SET NX PX, and what makes it safe to believe.

A flush takes the start marker with it: the next request writes a new one, and what was signed before it is refused. A restart
(also from an old dump), a failover and SCRIPT FLUSH take the script with them, which is never stored: only who has written a new
marker loads it again.
"""

from __future__ import annotations

import hashlib
import inspect
import threading
import time
from typing import Any, Final, Protocol

from keystead_client.nonces import CLOCKS_SECONDS, DOUBT_SECONDS, KEPT_SECONDS, NonceStoreUnavailable

_SCRIPT: Final = """
local now = tonumber(redis.call('TIME')[1])
if math.abs(now - tonumber(ARGV[2])) > tonumber(ARGV[3]) then return -2 end
local start = redis.call('GET', KEYS[1])
if not start then
    redis.call('SET', KEYS[1], now)
    start = now
end
if tonumber(ARGV[1]) <= tonumber(start) + tonumber(ARGV[4]) then return -1 end
if redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[5]) then return 1 end
return 0
"""
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # how Valkey names a script
_BEGIN: Final = "redis.call('SET', KEYS[1], redis.call('TIME')[1]) return 1"
_FRESH, _SPENT, _YOUNG, _CLOCK = 1, 0, -1, -2
_CHECKED_EVERY_SECONDS: Final = 30.0
_OLDEST_RELEASE: Final = 7  # before it, scripts were copied to replicas and survived a failover


class Client(Protocol):
    """The part of a client that is used; `valkey.Valkey` and `redis.Redis` have it."""

    def evalsha(self, sha: str, numkeys: int, /, *keys_and_args: Any) -> Any: ...
    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> Any: ...
    def script_load(self, script: str, /) -> Any: ...
    def info(self) -> Any: ...


class ValkeyNonces:
    """Remembers in one Valkey, or Redis 7, that all processes share. Thread-safe if its client is.

    Give a client that is not asynchronous, with timeouts, for a server that evicts nothing. `name` begins the names of its keys;
    the braces keep them together in a cluster. About 150 bytes a nonce.
    """

    blocking = True

    def __init__(self, client: Client, *, name: str = "{keystead-nonces}") -> None:
        if inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
            raise TypeError("ValkeyNonces takes a client that is not asynchronous")
        self._client, self._name = client, name
        self._start = f"{name}:start"
        self._checked_at = float("-inf")
        self._beginning = threading.Lock()

    def spend(self, kid: str, nonce: str, *, created: int, now: float) -> bool:
        """Remember a nonce; False when it is remembered already."""
        try:
            if time.monotonic() - self._checked_at > _CHECKED_EVERY_SECONDS:
                self._check()
            told = self._ask(f"{self._name}:{kid}:{nonce}", created, now)
        except NonceStoreUnavailable:
            raise
        except Exception as error:  # whatever the client raises: nothing is known
            raise NonceStoreUnavailable(f"Valkey was not reached: {type(error).__name__}") from error
        # Pipelines and the like answer with something else, which is no yes.
        if type(told) is not int or told not in (_FRESH, _SPENT, _YOUNG):
            raise NonceStoreUnavailable("Valkey's clock or answer is none to rely on.")
        if told == _YOUNG:
            raise NonceStoreUnavailable("This may have been accepted before.", code="nonce_store_young")
        return told == _FRESH

    def _ask(self, key: str, created: int, now: float) -> Any:  # Any: what the client answers
        keeps = max(1, int((created - now + KEPT_SECONDS) * 1000))
        words = (self._start, key, created, int(now), CLOCKS_SECONDS, DOUBT_SECONDS, keeps)
        try:
            return self._client.evalsha(_SHA, 2, *words)
        except Exception as error:
            if not _is_missing_script(error):
                raise
        with self._beginning:
            # The marker first and the script second: who finds the script finds a marker of this life.
            self._client.eval(_BEGIN, 1, self._start)
            self._client.script_load(_SCRIPT)
        return self._client.evalsha(_SHA, 2, *words)

    def _check(self) -> None:
        """See that it never evicts: a bounded memory that forgets the oldest is an attacker's way in."""
        told = self._client.info()
        if int(told["maxmemory"]) and told["maxmemory_policy"] != "noeviction":
            raise NonceStoreUnavailable("Valkey may evict: set maxmemory-policy to noeviction.")
        if int(str(told["redis_version"]).partition(".")[0]) < _OLDEST_RELEASE:
            raise NonceStoreUnavailable("Redis before 7 cannot be relied on after a failover.")
        self._checked_at = time.monotonic()


def _is_missing_script(error: Exception) -> bool:
    # By its word, so that neither client has to be imported.
    return type(error).__name__ == "NoScriptError" or str(error).startswith("NOSCRIPT")
