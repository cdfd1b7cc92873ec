"""Count what was verified in process, and tell Keystead in batches: last used, by whom, and why not."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from keystead_client.verdicts import NOBODY_KNOWN, Client

MOST_IN_A_BATCH: Final = 500
# Of the 64 KiB that Keystead reads, of which a row takes 24 at most: what is refused whole is lost whole.
_MOST_BYTES: Final = 60 * 1024
_MOST_WAITING: Final = 100_000  # different rows; more than that is thrown away rather than kept for ever
Use = tuple[str, str, Client]  # kid, outcome, client


class Uses:
    """Uses wait in deques, whose append is atomic and the cheapest thing that is; one thread counts and sends them.

    `note_valid` takes the kid of an accepted key of which nothing else is known, by far the most frequent use. `now` tells
    Keystead's time: it takes no uses of a minute that has not begun there, and forgets those of days ago.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._valid: deque[str | None] = deque()
        self._fresh: deque[Use] = deque()
        self.note_valid, self.note = self._valid.append, self._fresh.append
        self._valid_counted: Counter[str | None] = Counter()  # of the minute that it is
        self._minute = 0
        self._counted: Counter[tuple[str, str, int, Client]] = Counter()
        self._batch: tuple[str, list[dict[str, Any]]] | None = None

    def count(self) -> None:
        """Count what came since the last time, under the minute that it is."""
        minute = int(self._now() // 60) * 60_000
        if minute != self._minute:
            self._settle()
            self._minute = minute
        self._valid.append(None)  # up to here, without a step of Python for each
        self._valid_counted.update(iter(self._valid.popleft, None))
        for _ in range(len(self._fresh)):
            kid, outcome, client = self._fresh.popleft()
            self._add((kid, outcome, minute, client), 1)

    def _settle(self) -> None:
        valid, self._valid_counted = self._valid_counted, Counter()
        for kid, count in valid.items():
            self._add((str(kid), "valid", self._minute, NOBODY_KNOWN), count)

    def _add(self, row: tuple[str, str, int, Client], count: int) -> None:
        known = self._counted.get(row, 0)
        if known or len(self._counted) < _MOST_WAITING:
            self._counted[row] = known + count

    def batch(self) -> tuple[str, list[dict[str, Any]]] | None:
        """Return the batch to send: the same one, under the same name, until it is `sent`."""
        self._settle()
        if self._batch is None and self._counted:
            self._batch = uuid.uuid4().hex, list(self._next_rows())
        return self._batch

    def _next_rows(self) -> Iterator[dict[str, Any]]:
        room = _MOST_BYTES
        for row in list(self._counted)[:MOST_IN_A_BATCH]:
            written = _written(row, self._counted[row])
            room -= len(json.dumps(written)) + 2
            if room < 0:
                return
            del self._counted[row]
            yield written

    def sent(self) -> None:
        """Forget the batch; Keystead has it."""
        self._batch = None


def _written(row: tuple[str, str, int, Client], count: int) -> dict[str, Any]:
    kid, outcome, minute, client = row
    use: dict[str, Any] = {"kid": kid, "outcome": outcome, "minute": minute, "count": count}
    if client != NOBODY_KNOWN:
        use["client"] = client.as_json()
    return use
