"""Hold keys to their limits by what this program itself accepted: so many requests a minute, so many a day (UTC)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keystead_client.verdicts import Reason

_MINUTE: Final = 60
_DAY: Final = 86_400
_NO_LIMIT: Final = float("inf")
_MOST: Final = 100_000  # keys with limits that are remembered; beyond it those of yesterday are forgotten


@dataclass(slots=True)
class _Counts:
    """What one version used: this minute, the one before, and this day."""

    minute: int = 0
    now: int = 0
    before: int = 0
    day: int = 0
    today: int = 0

    def turn(self, minute: int, day: int) -> None:
        """Go on to this minute and day. A clock that is set back by a moment gives nobody a second helping."""
        if minute > self.minute or minute < self.minute - 1:
            self.before = self.now if minute == self.minute + 1 else 0
            self.minute, self.now = minute, 0
        if day > self.day or day < self.day - 1:
            self.day, self.today = day, 0


class Limits:
    """The counts of one program. Other programs count for themselves: nobody is asked while somebody waits."""

    def __init__(self) -> None:
        self._counts: dict[str, _Counts] = {}
        self._most = _MOST
        self._counting = threading.Lock()

    def refusal(self, kid: str, limits: Mapping[str, int], at: float) -> Reason | None:
        """Why one more request is too much at the instant `at` (seconds by Keystead's clock), or None: then it is counted."""
        minute, day = int(at // _MINUTE), int(at // _DAY)
        with self._counting:
            counts = self._counts.get(kid) or self._begin(kid, day)
            counts.turn(minute, day)
            # A window that slides: the minute before counts for as much of it as still lies within sixty seconds.
            of_a_minute = counts.now + counts.before * (1 - at % _MINUTE / _MINUTE)
            if of_a_minute >= limits.get("requests_per_minute", _NO_LIMIT):
                return Reason.RATE_LIMIT
            if counts.today >= limits.get("requests_per_day", _NO_LIMIT):
                return Reason.QUOTA
            counts.now += 1
            counts.today += 1
        return None

    def _begin(self, kid: str, day: int) -> _Counts:
        if len(self._counts) >= self._most:
            self._counts = {name: counts for name, counts in self._counts.items() if counts.day == day}
            self._most = max(_MOST, 2 * len(self._counts))  # who needs all of them does not look through them each time
        counts = self._counts[kid] = _Counts()
        return counts
