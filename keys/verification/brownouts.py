"""Refuse the old version for moments before its end, so that whoever forgot it notices while a retry still helps. Pure.

The windows follow from `retire_at` alone, so every verifier refuses at the same instants and nobody has to store anything.
Without a new version that works there are none: what is left must not be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

# How long before the end, and for how long. The last ones are longer: a client that retries for half a minute sees them.
WARNINGS: Final = (
    (timedelta(hours=24), timedelta(seconds=30)),
    (timedelta(hours=6), timedelta(seconds=30)),
    (timedelta(hours=1), timedelta(seconds=60)),
    (timedelta(minutes=15), timedelta(seconds=60)),
)
# Whoever has just received the new secret cannot have given it to every program yet.
FIRST_QUARTER: Final = timedelta(minutes=15)


def brownouts(retire_at: datetime, *, both_since: datetime) -> Sequence[tuple[datetime, datetime]]:
    """The spans, earliest first, in which an old version is refused; `both_since` is when the new one began to work."""
    spans = [(retire_at - before, retire_at - before + length) for before, length in WARNINGS]
    return [span for span in spans if span[0] > both_since + FIRST_QUARTER]


def is_browned_out(at: datetime, *, retire_at: datetime | None, both_since: datetime | None) -> bool:
    """Whether an old version is refused at that instant; never without an end, nor when no other version works."""
    if retire_at is None or both_since is None:
        return False
    return any(begin <= at < end for begin, end in brownouts(retire_at, both_since=both_since))
