"""Hear the bell of Valkey, so that whoever follows the database looks sooner. It proves nothing; without it only time is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import redis
from django.conf import settings

from keys.doorbell import CHANNEL

LISTENING: Final = 1.0  # seconds between two pings of the bell
DEAF: Final = 3.0  # seconds without any answer from it


class Hearing:
    """One subscription, begun again whenever it breaks, until `over`."""

    def __init__(self, rung: Callable[[], object], *, over: threading.Event) -> None:
        self.is_heard = False  # whether Valkey has answered at all since it was last away
        self._rung = rung
        self._over = over

    def listen(self) -> None:
        """Call `rung` at each ring; a bell that is out of order is tried again and missed by nobody. For a thread of its own."""
        while not self._over.is_set():
            valkey = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=LISTENING + 1, retry=None)
            try:
                with valkey, valkey.pubsub() as bell:  # type: ignore[no-untyped-call]  # redis annotates half of itself
                    bell.subscribe(CHANNEL)
                    self._hear(bell)
            except (redis.RedisError, OSError):
                self.is_heard = False
                self._over.wait(LISTENING)
        self.is_heard = False

    def _hear(self, bell: redis.client.PubSub) -> None:
        """A connection that died silently would be quiet for ever: it has to answer a ping now and then."""
        heard = time.monotonic()
        while not self._over.is_set():
            message = bell.get_message(timeout=LISTENING)
            if message is not None:
                heard = time.monotonic()
                self.is_heard = True
                if message["type"] == "message":
                    self._rung()
            elif time.monotonic() - heard > DEAF:
                raise redis.ConnectionError("the bell does not answer")
            else:
                bell.ping()
