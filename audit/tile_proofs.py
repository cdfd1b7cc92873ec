"""Read roots and proofs from tiles, wherever they lie: in the sealer's folder, or at the address that a witness pulls from."""

from __future__ import annotations

from typing import Protocol

from audit.merkle import HASH_SIZE, NodeId, consistency_ranges, fold, full_subtrees, nodes_of, proof_of
from audit.tiles import HEIGHT, WIDTH


class TileSource(Protocol):
    """Where tiles are read from; raises TileMissing for a tile that is not there or torn."""

    def read(self, level: int | str, index: int, width: int) -> bytes:
        """Return a tile of exactly `width` hashes or entries."""


def width_at(size: int, level: int, index: int) -> int:
    """Return how many hashes the tile has in a log of `size` entries."""
    return min(WIDTH, (size >> (HEIGHT * level)) - index * WIDTH)


def node_of(tiles: TileSource, node: NodeId, *, size: int) -> bytes:
    """Return the hash of a full subtree, from the one tile that holds all of it; `size` is what the tiles hold."""
    level, index = node
    tile_level, above = divmod(level, HEIGHT)
    tile, start = divmod(index << above, WIDTH)
    text = tiles.read(tile_level, tile, width_at(size, tile_level, tile))
    hashes = [
        text[at : at + HASH_SIZE] for at in range(start * HASH_SIZE, (start + (1 << above)) * HASH_SIZE, HASH_SIZE)
    ]
    return fold_full(hashes)


def fold_full(hashes: list[bytes]) -> bytes:
    """Return the root over a power of two of hashes side by side."""
    while len(hashes) > 1:
        hashes = [fold(hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def root_of(tiles: TileSource, at: int, *, size: int) -> bytes:
    """Return the root of the first `at` entries."""
    return fold([node_of(tiles, node, size=size) for node in full_subtrees(0, at)])


def growth_of(tiles: TileSource, old: int, new: int, *, size: int) -> list[bytes]:
    """Return the consistency proof of two sizes."""
    ranges = consistency_ranges(old, new)
    nodes = {node: node_of(tiles, node, size=size) for node in nodes_of(ranges)}
    return proof_of(ranges, nodes.__getitem__)
