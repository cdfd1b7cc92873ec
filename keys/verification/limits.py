"""Hold keys to their limits: so many accepted requests a minute, and so many a day. Each verifier counts what it accepts itself.

So a key is never refused too early, and with n verifiers behind one address it may get up to n times its limit: exact where one
verifier answers, an upper bound where there are several. What was counted is forgotten when the process ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from keys.verification.reasons import Reason

MINUTE: Final = 60
DAY: Final = 86_400
MOST: Final = 100_000  # keys with limits that are remembered; beyond it those of yesterday are forgotten


@dataclass(slots=True)
class _Counts:
    """What one key used: this minute, the one before, and this day (UTC)."""

    minute: int = 0
    now: int = 0
    before: int = 0
    day: int = 0
    today: int = 0

    def turn(self, minute: int, day: int) -> None:
        if minute != self.minute:
            self.before = self.now if minute == self.minute + 1 else 0
            self.minute, self.now = minute, 0
        if day != self.day:
            self.day, self.today = day, 0


class Limiter:
    """The counts of one process."""

    def __init__(self) -> None:
        self._counts: dict[UUID, _Counts] = {}

    def refusal(self, key: UUID, limits: Iterable[tuple[str, int]], at: float) -> Reason | None:
        """Why one more request of `key` is too much at the instant `at`, or None: then it is counted. Refusals are not."""
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= MOST:
                self._forget(int(at // DAY))
            counts = self._counts[key] = _Counts()
        counts.turn(int(at // MINUTE), int(at // DAY))
        for name, most in limits:
            # A window that slides: the minute before counts for as much of it as still lies within sixty seconds.
            if name == "requests_per_minute" and counts.now + counts.before * (1 - at % MINUTE / MINUTE) >= most:
                return Reason.RATE_LIMIT
            if name == "requests_per_day" and counts.today >= most:
                return Reason.QUOTA
        counts.now += 1
        counts.today += 1
        return None

    def _forget(self, today: int) -> None:
        self._counts = {key: counts for key, counts in self._counts.items() if counts.day == today}
