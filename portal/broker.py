"""Read messages from Valkey: let go of what cannot be read, and be there again seconds after Valkey is.

Kombu lets the error of an unreadable message end the process that reads it; the message is gone by then, the worker too. It
waits for up to half a minute between two attempts to connect, which is half of what a job may be late. And it keeps the place of
a message that it could not acknowledge: with every place kept it asks for nothing, so it never finds out that it has to connect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import kombu
import structlog
from celery.app.amqp import AMQP
from kombu.transport import TRANSPORT_ALIASES, redis, virtual

log = structlog.get_logger(__name__)
LONGEST_PAUSE: Final = 5  # seconds between two attempts to connect
# What parsing and unpacking raise: no JSON, no text, no object, an object without its parts.
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)


class QoS(redis.QoS):
    """Kombu's count of the messages that a worker holds, which is right when Valkey is gone."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge, and hold the message no longer either way: Valkey hands it out again, or has lost it."""
        with self._let_go(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's own
        """Give back, and hold the message no longer either way."""
        with self._let_go(delivery_tag):
            super().reject(delivery_tag, requeue=requeue)

    @contextmanager
    def _let_go(self, delivery_tag: str) -> Iterator[None]:
        try:
            yield
        except self.channel.connection_errors:  # type: ignore[attr-defined]  # the stubs know only what is public
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    """Kombu's channel, which goes on."""

    QoS = QoS

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
