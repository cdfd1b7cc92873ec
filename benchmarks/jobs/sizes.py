"""Say how many keys there are and how many are due: as many as is promised, or just enough to see that the measure runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many keys, how many of their versions are over, and how many are enough for each of the ways beside ours."""

    keys: int = 1_000_000
    due: int = 100_000
    singly: int = 500
    by_sql: int = 20_000
    shared: int = 20_000
    looks: int = 200


FULL = Sizes()
QUICK = Sizes(keys=400, due=200, singly=10, by_sql=40, shared=60, looks=5)
