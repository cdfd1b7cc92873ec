"""Name what both stores of nonces have in common: what is remembered of a signature, and how long."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from keys.errors import Unavailable
from keys.signatures.profile import FUTURE_SKEW_SECONDS, LONGEST_WINDOW_SECONDS

# Two honest clocks differ by less (readiness is red above 2 s); one second more because signatures count whole seconds.
CLOCKS_SECONDS: Final = 3
# A request that a store accepted before it lost its memory at `start` was signed at `start` plus this at the latest.
DOUBT_SECONDS: Final = FUTURE_SKEW_SECONDS + CLOCKS_SECONDS
# Kept for the longest window that any policy may have: a window that grows meets nonces that are still remembered.
KEPT_SECONDS: Final = LONGEST_WINDOW_SECONDS + 30


class NonceStoreUnavailable(Unavailable):
    """Whether a signature is a repetition cannot be known now. No verdict: the caller refuses, and may try again."""

    def __init__(self, code: str, *, retry_after: int = 1) -> None:
        super().__init__(code)
        self.retry_after = retry_after


class Signed(NamedTuple):
    """A signature that is true in everything else: its key, its nonce, when it was made, and when it was judged."""

    kid: str
    nonce: str
    created: int
    now: float


def member(kid: str, nonce: str) -> int:
    """What is remembered of a signature: 64 bits of a hash of its key and its nonce, as a signed number.

    Two nonces of 128 random bits share a member once in 2^64: then an honest request is refused, never a repetition let in.
    """
    digest = hashlib.blake2b(f"{kid}\n{nonce}".encode(), digest_size=8, person=b"keystead nonces").digest()
    return int.from_bytes(digest, "big", signed=True)
