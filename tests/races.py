"""Let threads with connections of their own start at one moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

from keys.errors import KeysError


def in_parallel(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Run `act(number)` in real threads that start together; return what each returned or raised."""
    start, outcomes = threading.Barrier(count), list[Any]()

    def run(number: int) -> None:
        start.wait()
        try:
            outcomes.append(act(number))
        except Exception as error:
            outcomes.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def at_once(*calls: Callable[[], Any], workers: int = 50) -> Counter[str]:
    """Run every call, at most `workers` at a time, each on a connection of its own; count how each ended."""
    outcomes: Counter[str] = Counter()
    waiting, lock, start = list(calls), threading.Lock(), threading.Barrier(min(workers, len(calls)))

    def work() -> None:
        # On a machine with much else to do the locks of fifty are held for seconds; a deadlock is found all the same.
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '60s'")
        start.wait(120)
        while True:
            with lock:
                if not waiting:
                    break
                call = waiting.pop()
            try:
                result = call()
                outcome = str(getattr(result, "outcome", "done"))
            except KeysError as refused:
                outcome = refused.code
            with lock:
                outcomes[outcome] += 1
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(min(workers, len(calls)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
