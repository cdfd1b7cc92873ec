"""Remember in Valkey when the worker and the scheduler were last heard of; losing it costs a line on a page."""

import sys
import time
from functools import lru_cache
from typing import Final

import redis
from django.conf import settings

WORKER: Final = "worker"
BEAT: Final = "beat"
PERIOD_SECONDS: Final = 10.0
LATE_SECONDS: Final = 45.0


@lru_cache(maxsize=1)
def valkey() -> redis.Redis:
    """Return the client of this process; short patience, because a page waits for it."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def beat(name: str) -> None:
    """Write down that `name` is alive now. Failing is quiet: the page then says that it is late."""
    try:
        valkey().set(f"keystead:pulse:{name}", repr(time.time()), ex=3600)
    except redis.RedisError:
        return


def age(name: str) -> float | None:
    """Return how many seconds ago `name` was last alive; None when it never was."""
    written = valkey().get(f"keystead:pulse:{name}")
    return None if written is None else max(0.0, time.time() - float(written))


if __name__ == "__main__":  # `python -m portal.pulses worker`: a container's health check
    seconds = age(sys.argv[1])
    sys.exit(0 if seconds is not None and seconds <= LATE_SECONDS else 1)
