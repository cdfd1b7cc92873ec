"""Speak to Valkey on a line of this thread's own: one write, one read, for one command or for many, and nothing of a client between."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as TookTooLong

PATIENCE: Final = 0.5


class Line(threading.local):
    """A connection for each thread that asks; a fork or a lost server means a new one."""

    def __init__(self, address: str) -> None:
        pool = redis.ConnectionPool.from_url(address, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        self._connection: Any = pool.make_connection()  # Any: redis-py's connections share no type

    def ask(self, command: bytes) -> Any:  # Any: whatever the command answers
        """Send a packed command and return its answer; raises redis.RedisError."""
        [answer] = self.ask_all([command])
        if isinstance(answer, redis.RedisError):
            raise answer
        return answer

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:  # Any: as above
        """Send packed commands at once and return an answer for each, in their order: a redis.RedisError where there is none."""
        answers: list[Any] = []
        try:
            self._ask(commands, answers)
        except (ConnectionLost, TookTooLong):
            # The line may have been dead for long. A command that was heard twice finds its own nonce, and refuses.
            try:
                self._ask(commands[len(answers) :], answers)
            except (ConnectionLost, TookTooLong) as lost:
                answers += [lost] * (len(commands) - len(answers))
        return answers

    def _ask(self, commands: Sequence[bytes], answers: list[Any]) -> None:  # Any: as above
        connection = self._connection
        try:
            connection.send_packed_command([b"".join(commands)])
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except ResponseError as refused:
                    answers.append(refused)
        except (ConnectionLost, TookTooLong):
            connection.disconnect()
            raise


def array_of(count: int) -> bytes:
    """Begin a command of so many words, as the protocol wants it (RESP)."""
    return b"*%d\r\n" % count


def packed(*words: str) -> bytes:
    """Write words of a command; all are ASCII."""
    return "".join([f"${len(word)}\r\n{word}\r\n" for word in words]).encode("ascii")
