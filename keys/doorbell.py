"""Wake whoever holds keys in memory, over Valkey. A bell and nothing else: what changed is read from the database.

Without Valkey nobody is woken and nothing is lost: verifiers look by themselves, and a lease says how late they may be.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Final

import redis
import structlog
from django.conf import settings
from django.db import transaction

CHANNEL: Final = "keystead:verification"
PATIENCE: Final = 0.2  # seconds; whoever revokes shall not wait for a bell that hangs
SILENCE: Final = 5.0  # seconds without another try after one that failed

_log = structlog.get_logger("keystead.verification")
_silent_until = 0.0  # by the monotonic clock; one process is one bell rope


@cache
def _rope(address: str) -> redis.Redis:
    return redis.Redis.from_url(address, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=None)


def ring_after_commit() -> None:
    """Ring when the transaction that is open has been committed, and only then: there would be nothing to see before."""
    transaction.on_commit(ring, robust=True)


def ring() -> bool:
    """Ring now; False when nobody can have heard it."""
    global _silent_until
    if time.monotonic() < _silent_until:
        return False
    try:
        _rope(settings.REDIS_URL).publish(CHANNEL, b"")
    except redis.RedisError as error:
        _silent_until = time.monotonic() + SILENCE
        _log.warning("verifiers not woken", exc_info=error)
        return False
    return True
