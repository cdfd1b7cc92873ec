"""Keep one key from asking too often. It spares the database; what may be handed over is not decided here."""

from __future__ import annotations

import time
from typing import Final

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

# As keys are held to their limits: time is cut into steps, and one that lies in the last minute in part counts whole, so the
# turn of no minute gives a second helping (docs/decisions/128-a-minute-is-counted-in-steps.md).
STEP: Final = 5  # seconds
STEPS: Final = 60 // STEP + 1
_log = structlog.get_logger("keystead.rotation")


def seconds_to_wait(kid: str, *, kind: str, most: int) -> int:
    """Count one request of a key; how long it has to wait when that is more than `most` a minute, else 0: then it is not counted.

    Without Valkey nobody is held up: a rotation must not depend on it.
    """
    now = int(time.time())
    step = now // STEP
    names = {f"pace:{kind}:{kid}:{each}": each for each in range(step - STEPS + 1, step + 1)}  # the oldest first
    newest = next(reversed(names))
    try:
        cache.add(newest, 0, timeout=(STEPS + 1) * STEP)
        cache.incr(newest)  # before the look: of two at once neither overlooks the other
        counts = cache.get_many(names)
        over = sum(counts.values()) - most
        if over <= 0:
            return 0
        cache.decr(newest)
    except (RedisError, OSError, ValueError) as error:
        _log.warning("pace not counted", exc_info=error)
        return 0
    for name, each in names.items():
        over -= counts.get(name, 0)
        if over <= 0:  # with what this step held there is room again
            return (each + STEPS) * STEP - now
    return STEPS * STEP
