"""Make identifiers that sort by time (RFC 9562, section 5.7); Python has them from 3.14 on."""

import os
from uuid import UUID

_VARIANT = 0b10 << 62
_VERSION = 7 << 76


def uuid7(at_ms: int) -> UUID:
    """Return a new UUID whose first 48 bits are `at_ms`, milliseconds since 1970, and 74 bits of which are random."""
    random = int.from_bytes(os.urandom(10), "big")
    bits = (at_ms & 0xFFFF_FFFF_FFFF) << 80 | _VERSION | (random >> 68 & 0xFFF) << 64 | _VARIANT | random & (2**62 - 1)
    return UUID(int=bits)
