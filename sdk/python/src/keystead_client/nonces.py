"""Remember which signatures were accepted, so that none is accepted twice; where that cannot be known, refuse.

In one process a memory is enough. Whoever answers for the same keys in several, or on several machines, needs one store for all of
them: what each remembers for itself lets a captured request in once in each.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Final, Protocol

from keystead_client.errors import KeysteadError
from keystead_client.signature_profile import FUTURE_SKEW_SECONDS, LONGEST_WINDOW_SECONDS

# Kept for the longest window that any policy may have: a window that grows meets nonces that are still remembered.
KEPT_SECONDS: Final = LONGEST_WINDOW_SECONDS + 30
# Two honest clocks differ by less; one second of it because signatures count whole seconds.
CLOCKS_SECONDS: Final = 3
# What was accepted before a store began, and is not in it, was signed at its beginning plus this at the latest.
DOUBT_SECONDS: Final = FUTURE_SKEW_SECONDS + CLOCKS_SECONDS
MOST_REMEMBERED: Final = 1_000_000  # about 100 MB


class NonceStoreUnavailable(KeysteadError):
    """Whether a signature is a repetition cannot be known now: `nonce_store_full`, `_young`, `_forked` or `_unavailable`. Refuse."""

    code = "nonce_store_unavailable"


class NonceStore(Protocol):
    """What a verifier in process asks before it accepts a signature. `blocking`: whether that waits for a network."""

    blocking: bool

    def spend(self, kid: str, nonce: str, *, created: int, now: float) -> bool:
        """Remember a nonce: True the first time, False ever after. Raises when it cannot know; `now` is Keystead's time."""
        ...


class MemoryNonces:
    """Remembers in this process, exactly: for programs that are one process. Thread-safe.

    Nothing is forgotten while it could be accepted again; when it is full it refuses. It refuses what may have been accepted before
    it was made, and everything in a child of fork, whose siblings it does not know.
    """

    blocking = False

    def __init__(self, *, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        # 64 bits each of a hash whose key is this process's own: two that share it refuse an honest request once in 2^64.
        self._spent: set[int] = set()
        self._signed_at: dict[int, list[int]] = {}  # the same, by the second of the signature
        self._made_at, self._pid = time.monotonic(), os.getpid()
        self._complete_after: float | None = None  # whatever was signed later is in here, if it was accepted
        self._swept_at = 0
        self._lock = threading.Lock()

    def spend(self, kid: str, nonce: str, *, created: int, now: float) -> bool:
        """Remember a nonce; False when it is remembered already."""
        if os.getpid() != self._pid:
            raise NonceStoreUnavailable("One memory of nonces cannot serve two processes.", code="nonce_store_forked")
        member = hash((kid, nonce))
        with self._lock:
            if self._complete_after is None:
                self._complete_after = now - (time.monotonic() - self._made_at) + DOUBT_SECONDS
            if int(now) != self._swept_at:
                self._sweep(now)
            if created <= self._complete_after:
                raise NonceStoreUnavailable("This may have been accepted before.", code="nonce_store_young")
            if member in self._spent:
                return False
            if len(self._spent) >= self._most:
                raise NonceStoreUnavailable("No room for one more nonce.", code="nonce_store_full")
            self._spent.add(member)
            self._signed_at.setdefault(created, []).append(member)
            return True

    def _sweep(self, now: float) -> None:
        """Forget what nobody accepts any more, and remember up to when that is: a clock that goes back must not bring it back."""
        self._swept_at = int(now)
        before = now - KEPT_SECONDS
        for created in [each for each in self._signed_at if each <= before]:
            self._spent.difference_update(self._signed_at.pop(created))
        assert self._complete_after is not None
        self._complete_after = max(self._complete_after, before)
