"""Hold keys to their limits by what this program itself accepted: so many requests a minute, so many a day (UTC)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keystead_client.verdicts import Reason

_DAY: Final = 86_400
_STEP: Final = 5  # seconds: what was accepted counts for a minute, and on to the end of its step
_STEPS: Final = 60 // _STEP + 1  # that lie within the last sixty seconds, the first of them in part
_NO_LIMIT: Final = float("inf")
_MOST: Final = 100_000  # keys with limits that are remembered; beyond it those of yesterday are forgotten


@dataclass(slots=True)
class _Counts:
    """What one version used: in each of the last steps of time, the newest first, and this day."""

    step: int = 0
    used: list[int] = field(default_factory=lambda: [0] * _STEPS)
    day: int = 0
    today: int = 0

    def turn(self, step: int, day: int) -> None:
        """Go on to this step and day. A clock that is set back by a moment gives nobody a second helping."""
        if step > self.step:
            self.used = ([0] * min(step - self.step, _STEPS) + self.used)[:_STEPS]
            self.step = step
        elif step <= self.step - _STEPS:
            self.step, self.used = step, [0] * _STEPS
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
        step, day = int(at // _STEP), int(at // _DAY)
        with self._counting:
            counts = self._counts.get(kid) or self._begin(kid, step, day)
            counts.turn(step, day)
            # A step that lies in the last minute in part counts whole: the turn of no minute gives a second helping.
            if sum(counts.used) >= limits.get("requests_per_minute", _NO_LIMIT):
                return Reason.RATE_LIMIT
            if counts.today >= limits.get("requests_per_day", _NO_LIMIT):
                return Reason.QUOTA
            counts.used[0] += 1
            counts.today += 1
        return None

    def _begin(self, kid: str, step: int, day: int) -> _Counts:
        if len(self._counts) >= self._most:
            self._counts = {
                name: counts
                for name, counts in self._counts.items()
                if counts.day == day or counts.step > step - _STEPS
            }
            self._most = max(_MOST, 2 * len(self._counts))  # who needs all of them does not look through them each time
        counts = self._counts[kid] = _Counts()
        return counts
