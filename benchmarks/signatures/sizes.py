"""Say how much is measured: as much as is promised, or just enough to see that a measure runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many, and how often."""

    rounds: int = 30
    calls: int = 2_000
    slow_calls: int = 200
    nonces: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    spent: int = 2_000
    seconds: float = 3.0  # of one round over HTTP
    turns: int = 5
    fastest: int = 40_000  # requests a second that are signed in advance for such a round


FULL = Sizes()
QUICK = Sizes(rounds=2, calls=50, slow_calls=10, nonces=(10_000,), spent=100, seconds=0.3, turns=1)
