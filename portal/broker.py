"""Read messages from Valkey and let go of what cannot be read: a forged one must not stop the worker.

Kombu lets the error of an unreadable message end the process that reads it; the message is gone by then, the worker too.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)
# What parsing and unpacking raise: no JSON, no text, no object, an object without its parts.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)


class Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    """Kombu's channel, which goes on."""

    def _brpop_read(self, **options: Any) -> Any:  # Any: kombu's own
        try:
            return super()._brpop_read(**options)
        except UNREADABLE as error:
            log.warning("message_unreadable", code=type(error).__name__)
            return True  # it was taken from the queue


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's transport over our channel."""

    Channel = Channel


def take_over() -> None:
    """Be what `redis://`, `rediss://` and `redis+socket://` mean in this process."""
    name = f"{__name__}:{Transport.__qualname__}"
    TRANSPORT_ALIASES.update({"redis": name, "rediss": name})
