"""Commit to a text without showing it: whoever gets text and salt later can check, and nobody can guess before."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Final

from keys.crypto.errors import UnknownAlgorithm

ALGORITHM: Final = "sha-256"
SALT_LENGTH: Final = 32


def new_salt() -> bytes:
    """Return 256 random bits; erasing them later makes the commitment say nothing for ever."""
    return os.urandom(SALT_LENGTH)


def commit(text: str | bytes, salt: bytes) -> dict[str, str]:
    """Return the algorithm and SHA-256 over salt and text.

    The salt has one length, so no framing is needed.
    """
    if len(salt) != SALT_LENGTH:
        raise ValueError(f"a salt has {SALT_LENGTH} bytes")
    body = text.encode() if isinstance(text, str) else text
    return {"alg": ALGORITHM, "commitment": hashlib.sha256(salt + body).hexdigest()}


def commitment_matches(commitment: Mapping[str, str], text: str | bytes, salt: bytes) -> bool:
    """Say whether this text and salt were committed to."""
    if commitment.get("alg") != ALGORITHM:
        raise UnknownAlgorithm("no such commitment algorithm")
    return hmac.compare_digest(commit(text, salt)["commitment"].encode(), str(commitment.get("commitment")).encode())
