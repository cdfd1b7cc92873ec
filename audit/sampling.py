"""Draw a sample that anybody who has the same events and the seed can draw again. Plain Python.

The rank of an event is SHA-256 over `seed:uid`; the sample is the events with the smallest ranks. Nobody can know before the
seed which those are, and afterwards everybody finds the same. `sort` and `sha256sum` are enough to repeat it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ALGORITHM = "sha-256-smallest"


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The sample, in the order of the ranks, and the population it came from.

    `sha256` is that of all identifiers, sorted, each with a line feed after it.
    """

    drawn: tuple[str, ...]
    population: int
    sha256: str


def draw(uids: Iterable[str], *, seed: str, size: int) -> Draw:
    """Draw `size` of `uids`, which must come sorted and each once; holds no more than the sample in memory."""
    told, count = hashlib.sha256(), 0

    def ranked() -> Iterator[tuple[bytes, str]]:
        nonlocal count
        before = ""
        for uid in uids:
            if uid <= before:
                raise ValueError("the identifiers of a population are sorted, and each is there once")
            before, count = uid, count + 1
            told.update(f"{uid}\n".encode())
            yield hashlib.sha256(f"{seed}:{uid}".encode()).digest(), uid

    drawn = tuple(uid for _, uid in heapq.nsmallest(size, ranked()))
    return Draw(drawn=drawn, population=count, sha256=told.hexdigest())
