"""Hash events into the Merkle tree of RFC 9162 (RFC 6962), and make and check its two proofs.

Plain Python. A tree is kept as its full subtrees: a node (level, index) covers the leaves from `index << level` on, and
never changes once it is full. Every range a proof needs is a few such nodes, folded from the right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

NodeId: TypeAlias = tuple[int, int]
"""Level and index of a full subtree; level 0 is a leaf hash."""
Row: TypeAlias = tuple[int, int, Sequence[bytes]]
"""Full subtrees side by side: their level, the index of the first, and their hashes."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_SIZE = 32
_LEAF, _NODE = b"\x00", b"\x01"  # RFC 9162, 2.1.1: without them a node could be passed off as a leaf
_AT_ONCE = 4_096


class ProofError(ValueError):
    """A proof does not prove what it is said to."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry."""
    return hashlib.sha256(_LEAF + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Return the hash of each entry."""
    sha256 = hashlib.sha256
    return [sha256(_LEAF + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees side by side."""
    return hashlib.sha256(_NODE + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the hash of full subtrees side by side, largest first, as the right edge of a tree is hashed."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for each in reversed(hashes[:-1]):
        result = node_hash(each, result)
    return result


@dataclass
class Tree:
    """A growing tree, of which only the peaks (its full subtrees, largest first) are held."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError("a tree of this size has another number of peaks")

    def append(self, leaf: bytes) -> Iterator[tuple[NodeId, bytes]]:
        """Add a leaf hash; yield every subtree above it that is full now. Exhaust the iterator."""
        peaks, level, index = self.peaks, 0, self.size
        peaks.append(leaf)
        while index & 1:
            right = peaks.pop()
            peaks[-1] = node_hash(peaks[-1], right)
            level, index = level + 1, index >> 1
            yield (level, index), peaks[-1]
        self.size += 1

    def grow(self, leaves: Sequence[bytes]) -> list[Row]:
        """Add many leaf hashes, level by level; return a row of every level that has subtrees which are full now.

        The same as to append each, in a third of the time: a log of a million leaves is a million nodes.
        """
        sha256 = hashlib.sha256
        found: list[Row] = []
        smaller: list[bytes] = []  # the new peaks, smallest first
        level, index, hashes = 0, self.size, leaves
        self.size += len(leaves)
        while hashes:
            if index & 1:  # the left half waited for its right one
                hashes, index = [self.peaks.pop(), *hashes], index - 1
            if len(hashes) & 1:
                smaller.append(hashes[-1])
            hashes = [
                sha256(_NODE + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=False)
            ]
            level, index = level + 1, index >> 1
            if hashes:
                found.append((level, index, hashes))
        self.peaks += reversed(smaller)
        return found

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add many leaf hashes, when nobody asks for the nodes."""
        rest = iter(leaves)
        while some := list(islice(rest, _AT_ONCE)):
            self.grow(some)

    def root(self) -> bytes:
        """Return the root of the tree as it is."""
        return fold(self.peaks)

    def copy(self) -> Tree:
        """Return a tree that grows on its own."""
        return Tree(self.size, list(self.peaks))


def full_subtrees(start: int, end: int) -> list[NodeId]:
    """Return the full subtrees of [start, end), largest first; `start` is where a subtree of that size may begin."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        found.append((level, start >> level))
        start += 1 << level
    return found


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose hashes are the inclusion proof of leaf `index` (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} has no leaf {index}")
    start, end = 0, size
    ranges: list[tuple[int, int]] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Return the ranges of leaves whose hashes are the consistency proof of two sizes (RFC 9162, 2.1.4.1)."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} does not contain one of {old}")
    if old in (0, new):
        return []
    start, end = 0, new
    ranges: list[tuple[int, int]] = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # the old tree is no subtree of the new one, so its last part must be given
        ranges.append((start, end))
    return ranges[::-1]


def nodes_of(ranges: Iterable[tuple[int, int]]) -> set[NodeId]:
    """Return the full subtrees that hash these ranges, to be fetched at once."""
    return {node for start, end in ranges for node in full_subtrees(start, end)}


def proof_of(ranges: Iterable[tuple[int, int]], hash_of: Callable[[NodeId], bytes]) -> list[bytes]:
    """Return the hashes of the ranges."""
    return [fold([hash_of(node) for node in full_subtrees(start, end)]) for start, end in ranges]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162, 2.1.3.2); raise ProofError when its form is wrong."""
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} has no leaf {index}")
    place, last, result = index, size - 1, leaf
    for each in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        if place & 1 or place == last:
            result = node_hash(each, result)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            result = node_hash(result, each)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return result


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless `proof` shows that leaf `index` of the tree with `root` is `leaf`."""
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise ProofError(f"leaf {index} is not in the tree of {size}")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofError unless the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} does not contain one of {old}")
    if old in (0, new):
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise ProofError(f"the trees of {old} and {new} leaves do not fit")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofError("the proof is empty")
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for each in path[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if place & 1 or place == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, each)
        place, last = place >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise ProofError(f"the tree of {new} leaves does not begin with the tree of {old}")
