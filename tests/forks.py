"""Do something in a process of its own that may be killed anywhere: forked from one that is ready, for a fresh one costs a second."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from django.db import connection, connections

_READY = multiprocessing.get_context("forkserver")
_READY.set_forkserver_preload(["portal.wsgi"])  # all of Django and of ours


class Fork:
    """A process that calls `act`, which it finds by its module and name."""

    def __init__(self, act: Callable[..., None], *arguments: object) -> None:
        self._process = _READY.Process(target=_perform, args=(act, arguments), daemon=True)
        self._process.start()

    def ended(self) -> int:
        """Wait for the end: 0, 1 when `act` raised, or the negative number of the signal that killed it."""
        self._process.join(60)
        code = self._process.exitcode
        assert code is not None, "it has not ended after a minute"
        self._process.close()
        return code


def _perform(act: Callable[..., None], arguments: tuple[object, ...]) -> None:
    try:
        act(*arguments)
    finally:
        connections.close_all()


def killed_at(words: str = "", *, statement: int = 0) -> AbstractContextManager[None]:
    """Kill this process at the first statement that holds `words`, or at one by its number; at none when neither is given."""
    left = statement

    def watched(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 or (words and words in sql):
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, params, many, context)

    return connection.execute_wrapper(watched)
