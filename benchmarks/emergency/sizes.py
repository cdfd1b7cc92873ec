"""Say how many keys are stopped: as many as is promised, or just enough to see that the measure runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many keys, how often, and how many are enough to know what one by one costs."""

    keys: int = 1000
    rounds: int = 5
    singly: int = 200


FULL = Sizes()
QUICK = Sizes(keys=20, rounds=1, singly=5)
