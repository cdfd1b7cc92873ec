"""Read messages from Valkey: let go of what cannot be read, and be there again seconds after Valkey is.

Kombu lets the error of an unreadable message end the process that reads it; the message is gone by then, the worker too. And
it waits for up to half a minute between two attempts to connect, which is half of what a job may be late.
"""

from __future__ import annotations

from typing import Any, Final

import kombu
import structlog
from celery.app.amqp import AMQP
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger(__name__)
LONGEST_PAUSE: Final = 5  # seconds between two attempts to connect
# What parsing and unpacking raise: no JSON, no text, no object, an object without its parts.
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)


class Channel(redis.Channel):
    """Kombu's channel, which goes on."""

    def _brpop_read(self, **options: Any) -> Any:  # Any: kombu's own
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs know only what is public
        except UNREADABLE as error:
            log.warning("message_unreadable", code=type(error).__name__)
            return True  # it was taken from the queue


class Transport(redis.Transport):
    """Kombu's transport over our channel."""

    Channel = Channel


class Connection(kombu.Connection):
    """Kombu's connection, less patient."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:  # Any: kombu's own
        """Connect, asking again every few seconds."""
        return super().ensure_connection(*args, **{"interval_max": LONGEST_PAUSE, **kwargs})


class Amqp(AMQP):
    """What Celery connects by."""

    Connection = Connection


def take_over() -> None:
    """Be what `redis://`, `rediss://` and `redis+socket://` mean in this process."""
    name = f"{__name__}:{Transport.__qualname__}"
    TRANSPORT_ALIASES.update({"redis": name, "rediss": name})
