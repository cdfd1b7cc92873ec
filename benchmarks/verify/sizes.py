"""Say how much is measured: enough to judge, or just enough to see that everything runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`keys` in the database, `seconds` a round, `rounds` by turns, `services` that verify in process; versions in memory;
    verifiers, programs and stops of the receipts.

    `signed` requests in a turn, in process.
    """

    keys: int = 10_000
    seconds: float = 4.0
    rounds: int = 5
    services: int = 5
    versions: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    questions: int = 200_000
    verifiers: int = 100
    stops: int = 100
    programs: tuple[int, ...] = (100, 500)
    counts: int = 2_000_000
    signed: int = 4_000


FULL = Sizes()
QUICK = Sizes(
    keys=50,
    seconds=0.3,
    rounds=1,
    services=1,
    versions=(100, 1_000),
    questions=2_000,
    verifiers=4,
    stops=4,
    programs=(4,),
    counts=20_000,
    signed=100,
)
