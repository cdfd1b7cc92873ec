"""Keep one key from asking too often. It spares the database; what may be handed over is not decided here."""

from __future__ import annotations

import time
from typing import Final

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

WINDOW_SECONDS: Final = 60
_log = structlog.get_logger("keystead.rotation")


def seconds_to_wait(kid: str, *, kind: str, most: int) -> int:
    """Count one request of a key; how long it has to wait when that is more than `most` a minute, else 0.

    Without Valkey nobody is held up: a rotation must not depend on it.
    """
    now = int(time.time())
    name = f"pace:{kind}:{kid}:{now // WINDOW_SECONDS}"
    try:
        cache.add(name, 0, timeout=2 * WINDOW_SECONDS)
        count = cache.incr(name)
    except (RedisError, OSError, ValueError) as error:
        _log.warning("pace not counted", exc_info=error)
        return 0
    return WINDOW_SECONDS - now % WINDOW_SECONDS if count > most else 0
