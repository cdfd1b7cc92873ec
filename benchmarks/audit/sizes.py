"""Say how much is measured: as much as is promised, or just enough to see that a measure runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many, how often and for how long."""

    rounds: int = 5
    writers: int = 16
    write_seconds: float = 4.0
    cpu_changes: int = 400
    cpu_rounds: int = 15
    lag_seconds: float = 30.0
    lag_per_second: int = 200
    log: int = 1_000_000
    searched: int = 5_000_000
    searches: int = 400
    proofs: int = 500


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    writers=2,
    write_seconds=0.3,
    cpu_changes=10,
    cpu_rounds=1,
    lag_seconds=1.0,
    lag_per_second=20,
    log=600,
    searched=2_000,
    searches=5,
    proofs=5,
)
