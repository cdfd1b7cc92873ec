"""Check a signature with the key that the record names: the record says the algorithm, never the message."""

from __future__ import annotations

from typing import Final

from keys.crypto.request_signing import RequestKey, hmac_key, public_key
from keys.crypto.secrets import Secret
from keys.signatures.profile import FUTURE_SKEW_SECONDS, LONGEST_WINDOW_SECONDS, Algorithm
from keys.signatures.reading import Presented

# Checked with when there is no such key, or one of another kind: who does not hold it can tell neither by the time it takes.
_NOBODY: Final[dict[str, RequestKey]] = {
    str(Algorithm.HMAC_SHA256): hmac_key(Secret(bytes(range(80)))),
    str(Algorithm.ED25519): public_key("PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"),
}


def is_too_old(presented: Presented, *, now: float, window: int = LONGEST_WINDOW_SECONDS) -> bool:
    """Whether the signature was made too long ago. Without a window: too long for any policy."""
    return presented.created <= now - window


def is_in_future(presented: Presented, *, now: float) -> bool:
    """Whether it says it was made later than clocks may differ; not the window again, which `abs()` would double."""
    return presented.created > now + FUTURE_SKEW_SECONDS


def holds(presented: Presented, key: RequestKey | None) -> bool:
    """Whether `key` made this signature; the same work when there is no key, or it is of another kind than is claimed."""
    if key is None or key.algorithm != presented.algorithm:
        _NOBODY[presented.algorithm].holds(presented.base, presented.signature)
        return False
    return key.holds(presented.base, presented.signature)
