"""Hold keys to their limits: so many accepted requests a minute, and so many a day, over all verifiers together.

Each verifier decides by what it counted itself and what it last heard of the others (keys/verification/counting/shared_limits.py); nothing
is asked while somebody waits. While it cannot know what the others count, it accepts no more than its share of what is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from keys.verification.reasons import Reason

MINUTE: Final = 60
DAY: Final = 86_400
STEP: Final = 5  # seconds: what was accepted counts for a minute, and on to the end of its step
STEPS: Final = MINUTE // STEP + 1  # that lie within the last sixty seconds, the first of them in part
MOST: Final = 100_000  # keys with limits that are remembered; beyond it those of yesterday are forgotten


def _nothing() -> tuple[int, list[int]]:
    return 0, [0] * STEPS


@dataclass(slots=True)
class Counts:
    """What one key used: in the last steps of time, and this day (UTC). `told`: how much of the day the others know."""

    # The newest step, and what was used in each, from it back. One attribute: another thread never reads of two instants.
    window: tuple[int, list[int]] = field(default_factory=_nothing)
    day: int = 0
    today: int = 0
    told: int = 0

    def turn(self, step: int, day: int) -> None:
        """Go on to this step and day. A clock that is set back by a moment gives nobody a second helping."""
        newest, used = self.window
        if step > newest:
            self.window = step, ([0] * min(step - newest, STEPS) + used)[:STEPS]
        elif step <= newest - STEPS:
            self.window = step, [0] * STEPS
        if day > self.day or day < self.day - 1:
            self.day, self.today, self.told = day, 0, 0

    def is_recent(self, step: int) -> bool:
        """Whether at this step anything of the minute may still count."""
        return self.window[0] > step - STEPS


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
        step, day = int(at // STEP), int(at // DAY)
        own = self._own.get(key)
        if own is None:
            own = self._begin(key, step, day)
        own.turn(step, day)
        others = self.others.get(key.bytes)
        if others is not None:
            others.turn(step, day)
        today = 0 if others is None else others.today
        for name, most in limits:
            if name == "requests_per_minute":
                # A step that lies in the last minute in part counts whole: the turn of no minute gives a second helping.
                mine = sum(own.window[1])
                theirs = 0 if others is None else sum(others.window[1])
                if mine + theirs >= most or mine >= self._share(most):
                    return Reason.RATE_LIMIT
            if name == "requests_per_day":
                untold = own.today - own.told
                if own.today + today >= most or untold >= self._share(most - today - own.told):
                    return Reason.QUOTA
        own.window[1][0] += 1
        own.today += 1
        return None

    def _share(self, most: int) -> int:
        return -(-most // self.sharers)

    def _begin(self, key: UUID, step: int, day: int) -> Counts:
        if len(self._own) >= self._most:
            self._own = {
                name: counts for name, counts in self._own.items() if counts.day == day or counts.is_recent(step)
            }
            self._most = max(
                MOST, 2 * len(self._own)
            )  # whoever needs all of them is not made to look through them each time
        counts = self._own[key] = Counts()
        return counts
