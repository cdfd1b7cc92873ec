"""Hold what an inspection of the log found, and narrow it down to the first bad leaf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_FINDINGS = 100


@dataclass(frozen=True, kw_only=True)
class Found:
    """One thing that does not hold: at leaf `index`, or with `upto` somewhere from it on and before `upto`."""

    code: str
    words: str
    index: int | None = None
    upto: int | None = None

    def __str__(self) -> str:
        if self.index is None:
            return f"{self.code}: {self.words}"
        if self.upto is None:
            return f"{self.code} at leaf {self.index}: {self.words}"
        return f"{self.code} among leaves {self.index} to {self.upto - 1}: {self.words}"


@dataclass(kw_only=True)
class Inspection:
    """What was looked at, and what was found."""

    size: int = 0
    root: str = ""
    first_leaf: int = 0
    checkpoints: int = 0
    erased: int = 0
    lost: int = 0
    waiting: int = 0
    findings: list[Found] = field(default_factory=list)
    more: int = 0

    @property
    def first_bad_index(self) -> int | None:
        """Return the lowest leaf that something was found at; where only a range is known, the first that may be bad."""
        known = [each for each in self.findings if each.index is not None]
        return min((_narrowed(each, known) for each in known), default=None)

    def add(self, code: str, words: str, index: int | None = None, upto: int | None = None) -> None:
        """Keep a finding, up to a number that a person can read."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Found(code=code, words=words, index=index, upto=upto))
        else:
            self.more += 1


def _narrowed(found: Found, known: Sequence[Found]) -> int:
    """Return where in its range a finding is, as far as narrower findings tell."""
    start = found.index or 0
    if found.upto is None:
        return start
    width = found.upto - start
    within = [each for each in known if start <= (each.index or 0) < found.upto]
    narrower = [each for each in within if each.upto is None or each.upto - (each.index or 0) < width]
    return min((_narrowed(each, narrower) for each in narrower), default=start)
