"""Speak to Valkey on a line of this thread's own: one write, one read, and nothing of a client between."""

from __future__ import annotations

import threading
from typing import Any, Final

import redis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as TookTooLong

PATIENCE: Final = 0.5


class Line(threading.local):
    """A connection for each thread that asks; a fork or a lost server means a new one."""

    def __init__(self, address: str) -> None:
        pool = redis.ConnectionPool.from_url(address, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        self._connection: Any = pool.make_connection()  # Any: redis-py's connections share no type

    def ask(self, command: bytes) -> Any:  # Any: whatever the command answers
        """Send a packed command and return its answer; raises redis.RedisError."""
        try:
            return self._ask(command)
        except (ConnectionLost, TookTooLong):
            # The line may have been dead for long. A command that was heard twice finds its own nonce, and refuses.
            self._connection.disconnect()
            return self._ask(command)

    def _ask(self, command: bytes) -> Any:  # Any: as above
        try:
            self._connection.send_packed_command([command])
            return self._connection.read_response()
        except (ConnectionLost, TookTooLong):
            self._connection.disconnect()
            raise


def array_of(count: int) -> bytes:
    """Begin a command of so many words, as the protocol wants it (RESP)."""
    return b"*%d\r\n" % count


def packed(*words: str) -> bytes:
    """Write words of a command; all are ASCII."""
    return "".join([f"${len(word)}\r\n{word}\r\n" for word in words]).encode("ascii")
