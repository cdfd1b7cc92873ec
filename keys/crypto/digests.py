"""Digest key texts so that a presented key can be found and a stored digest gives nothing back.

A Keystead key has 256 random bits: a fast digest is enough (no dictionary exists), and a slow one would make
every verification slow. Low-entropy values go to `slow_hash`.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from keys.crypto.errors import UnknownAlgorithm
from keys.crypto.secrets import Secret, secret_bytes

CURRENT_ALGORITHM: Final = "sha256-ks1"
_DOMAIN: Final = hashlib.sha256(b"keystead key digest v1\x00")


def _sha256_ks1(value: bytes) -> bytes:
    hasher = _DOMAIN.copy()
    hasher.update(value)
    return hasher.digest()


def _sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _sha512(value: bytes) -> bytes:
    return hashlib.sha512(value).digest()


# `sha256` and `sha512` are what adopted keys bring from the system they come from; Keystead's own keys use
# the first.
ALGORITHMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "sha256-ks1": _sha256_ks1,
    "sha256": _sha256,
    "sha512": _sha512,
}


def digest(text: str | Secret, algorithm: str = CURRENT_ALGORITHM) -> bytes:
    """Digest a key text with a named algorithm."""
    function = ALGORITHMS.get(algorithm)
    if function is None:
        del text
        raise UnknownAlgorithm("no such digest algorithm")
    return function(secret_bytes(text))


def digester() -> Callable[[bytes], bytes]:
    """Return the function that digests one presented text after another with the current algorithm.

    For a door that does nothing else: without a look-up by name, and without hiding what the caller holds anyway.
    """
    copy = _DOMAIN.copy

    def run(text: bytes) -> bytes:
        hasher = copy()
        hasher.update(text)
        return hasher.digest()

    return run


def matches(text: str | Secret, stored: bytes, algorithm: str) -> bool:
    """Compare in constant time; a digest of another length or of nothing never matches."""
    return hmac.compare_digest(digest(text, algorithm), bytes(stored))
