"""Know the moments in which an old version is refused before its end, so that whoever forgot it notices in time.

The windows follow from the end alone: every verifier refuses at the same instants. Times are milliseconds.
"""

from __future__ import annotations

from typing import Final

_SECOND: Final = 1000
_HOUR: Final = 3600 * _SECOND
_WARNINGS: Final = (
    (24 * _HOUR, 30 * _SECOND),
    (6 * _HOUR, 30 * _SECOND),
    (_HOUR, 60 * _SECOND),
    (_HOUR // 4, 60 * _SECOND),
)
# Whoever has just received the new secret cannot have given it to every program yet.
_FIRST_QUARTER: Final = _HOUR // 4


def is_browned_out(at: int, *, ends_at: int, both_since: int | None) -> bool:
    """Whether an old version is refused at that instant; never when no other version works."""
    if both_since is None:
        return False
    starts = ((ends_at - before, length) for before, length in _WARNINGS)
    return any(start <= at < start + length for start, length in starts if start > both_since + _FIRST_QUARTER)
