"""Prove many places in the log at once: name the subtrees that fill the gaps between the events that are given.

Whoever has the events and the gaps computes the root; nothing else fits. A whole range is the case of two gaps, and then
the proof shows that nothing is missing between them. Each subtree is named once however many events it proves, and one
page of events is held at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from audit.merkle import NodeId, full_subtrees
from audit.verify import encode


class GapProof:
    """The lines `from upto hash...`, written as the places of the events go by in order."""

    def __init__(self, nodes: Callable[[set[NodeId]], Mapping[NodeId, bytes]]) -> None:
        self._nodes = nodes
        self._place = 0
        self.lines = 0

    def before(self, places: Sequence[int]) -> bytes:
        """Return the gaps before these places."""
        gaps: list[tuple[int, int]] = []
        for place in places:
            if place < self._place:
                raise ValueError("places are given in order, each once")
            if place > self._place:
                gaps.append((self._place, place))
            self._place = place + 1
        return self._written(gaps)

    def after(self, size: int) -> bytes:
        """Return the gap after the last place."""
        gaps = [(self._place, size)] if self._place < size else []
        self._place = size
        return self._written(gaps)

    def _written(self, gaps: Sequence[tuple[int, int]]) -> bytes:
        if not gaps:
            return b""
        subtrees = [full_subtrees(start, end) for start, end in gaps]
        found = self._nodes({node for each in subtrees for node in each})
        self.lines += len(gaps)
        return "".join(
            f"{start} {end} {' '.join(encode(found[node]) for node in each)}\n"
            for (start, end), each in zip(gaps, subtrees, strict=True)
        ).encode()
