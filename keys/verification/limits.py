"""Hold keys to their limits: so many accepted requests a minute, and so many a day, over all verifiers together.

Each verifier decides by what it counted itself and what it last heard of the others (keys/verification/shared_limits.py); nothing
is asked while somebody waits. While it cannot know what the others count, it accepts no more than its share of what is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from keys.verification.reasons import Reason

MINUTE: Final = 60
DAY: Final = 86_400
MOST: Final = 100_000  # keys with limits that are remembered; beyond it those of yesterday are forgotten


@dataclass(slots=True)
class Counts:
    """What one key used: this minute, the one before, and this day (UTC). `told`: how much of the day the others know."""

    minute: int = 0
    now: int = 0
    before: int = 0
    day: int = 0
    today: int = 0
    told: int = 0

    def turn(self, minute: int, day: int) -> None:
        """Go on to this minute and day. A clock that is set back by a moment gives nobody a second helping."""
        if minute > self.minute or minute < self.minute - 1:
            self.before = self.now if minute == self.minute + 1 else 0
            self.minute, self.now = minute, 0
        if day > self.day or day < self.day - 1:
            self.day, self.today, self.told = day, 0, 0


class Limiter:
    """The counts of one process, and what it heard of the others': by the bytes of a key's name."""

    def __init__(self) -> None:
        self._counting = threading.Lock()  # two threads answer: one of them those that sign
        self._own: dict[UUID, Counts] = {}
        self._most = MOST
        self.others: dict[bytes, Counts] = {}
        self.sharers = 1  # how many verifiers share what is left, while they do not hear of each other

    def refusal(self, key: UUID, limits: Iterable[tuple[str, int]], at: float) -> Reason | None:
        """Why one more request of `key` is too much at the instant `at`, or None: then it is counted. Refusals are not."""
        with self._counting:
            return self._refusal(key, limits, at)

    def counted(self) -> list[tuple[UUID, Counts]]:
        """What was counted here, for another thread: one step of the interpreter, so that nobody counts in between."""
        return list(self._own.items())

    def begin_anew(self, pass_on: Callable[[list[tuple[UUID, Counts]]], object]) -> None:
        """Count from nothing, under another name; nobody counts while `pass_on` puts what was counted among the others'."""
        with self._counting:
            pass_on(self.counted())
            self._own = {}

    def _refusal(self, key: UUID, limits: Iterable[tuple[str, int]], at: float) -> Reason | None:
        minute, day = int(at // MINUTE), int(at // DAY)
        own = self._own.get(key)
        if own is None:
            own = self._begin(key, day)
        own.turn(minute, day)
        others = self.others.get(key.bytes)
        if others is None:
            now, before, today = 0, 0, 0
        else:
            others.turn(minute, day)
            now, before, today = others.now, others.before, others.today
        # A window that slides: the minute before counts for as much of it as still lies within sixty seconds.
        left = 1 - at % MINUTE / MINUTE
        for name, most in limits:
            if name == "requests_per_minute":
                mine = own.now + own.before * left
                if mine + now + before * left >= most or mine >= self._share(most):
                    return Reason.RATE_LIMIT
            if name == "requests_per_day":
                untold = own.today - own.told
                if own.today + today >= most or untold >= self._share(most - today - own.told):
                    return Reason.QUOTA
        own.now += 1
        own.today += 1
        return None

    def _share(self, most: int) -> int:
        return -(-most // self.sharers)

    def _begin(self, key: UUID, day: int) -> Counts:
        if len(self._own) >= self._most:
            self._own = {name: counts for name, counts in self._own.items() if counts.day == day}
            self._most = max(
                MOST, 2 * len(self._own)
            )  # whoever needs all of them is not made to look through them each time
        counts = self._own[key] = Counts()
        return counts
