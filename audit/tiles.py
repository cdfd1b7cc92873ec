"""Keep the log as C2SP tlog-tiles: files that are written once, synced, and never written again.

A tile of level L holds up to 256 hashes of level 8L of the tree; an entry bundle holds the entries themselves. They are a
second full copy of the log outside the database. A partial tile is removed once the full one is on disk, as the
specification allows.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from audit.merkle import HASH_SIZE, NodeId, Row, Tree, leaf_hashes

HEIGHT = 8
WIDTH = 1 << HEIGHT
ENTRIES = "entries"
_SYNCED_AT_ONCE = 8
_MAX_LEVEL = 7  # 64 bits of leaves in steps of eight


class TileConflict(Exception):
    """A tile on disk says something else than what would be written: one of them is not the log."""


class TileMissing(Exception):
    """A tile that the size promises is not there, or is torn."""


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return where a tile lies: three digits a folder, `x` before all but the last, `.p/W` when it is partial."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{each}" for each in parts[:-1]), parts[-1]])
    return f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}")


def bundle(entries: Sequence[bytes]) -> bytes:
    """Join entries, each after its length in two bytes."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in entries)


def unbundle(text: bytes, count: int) -> list[bytes]:
    """Take `count` entries apart; raise TileMissing when the bytes are torn."""
    found, at = [], 0
    while at < len(text):
        size = int.from_bytes(text[at : at + 2], "big")
        found.append(text[at + 2 : at + 2 + size])
        at += 2 + size
    if at != len(text) or len(found) != count:
        raise TileMissing("an entry bundle is torn")
    return found


class TileFolder:
    """The files of one log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, level: int | str, index: int, width: int) -> bytes:
        """Return a tile of at least `width` hashes or entries; a fuller one serves for a partial one."""
        wider = [width, *(each for each in self._partials(level, index) if each > width), WIDTH]
        for each in wider:
            with contextlib.suppress(FileNotFoundError):
                text = (self.folder / tile_path(level, index, each)).read_bytes()
                if level == ENTRIES:
                    return text if each == width else bundle(unbundle(text, each)[:width])
                if len(text) != each * HASH_SIZE:
                    raise TileMissing(f"{tile_path(level, index, each)} is torn")
                return text[: width * HASH_SIZE]
        raise TileMissing(f"{tile_path(level, index, width)} is missing")

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """Return the hashes of a tile."""
        text = self.read(level, index, width)
        return [text[at : at + HASH_SIZE] for at in range(0, len(text), HASH_SIZE)]

    def entries(self, size: int, start: int = 0) -> Iterator[bytes]:
        """Yield the entries of the log from `start` on."""
        for index in range(start // WIDTH, -(-size // WIDTH)):
            width = min(WIDTH, size - index * WIDTH)
            skip = max(0, start - index * WIDTH)
            yield from unbundle(self.read(ENTRIES, index, width), width)[skip:]

    def write(self, tiles: Iterable[tuple[int | str, int, int, bytes]]) -> None:
        """Write tiles (level, index, width, bytes), each whole on disk or not there; raise TileConflict when one differs.

        Names are synced once a folder: what a loss of power takes away before that is written again in the next round.
        """
        # A disk syncs several files in little more than the time of one.
        with ThreadPoolExecutor(_SYNCED_AT_ONCE) as crowd:
            placed = list(crowd.map(lambda each: self._place(*each), tiles))
        for folder in {path.parent for path, _ in placed}:
            sync_folder(folder)
        for path, width in placed:
            if width == WIDTH:
                shutil.rmtree(path.with_name(f"{path.name}.p"), ignore_errors=True)

    def _place(self, level: int | str, index: int, width: int, text: bytes) -> tuple[Path, int]:
        path = self.folder / tile_path(level, index, width)
        _make_folder(path.parent)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with draft.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike a rename, a link never replaces
        except FileExistsError:
            if path.read_bytes() != text:
                raise TileConflict(f"{tile_path(level, index, width)} says something else") from None
        finally:
            draft.unlink()
        return path, width

    def _partials(self, level: int | str, index: int) -> list[int]:
        folder = (self.folder / tile_path(level, index, 1)).parent
        with contextlib.suppress(FileNotFoundError):
            return sorted(int(each.name) for each in folder.iterdir() if each.name.isdecimal())
        return []


class TileWriter:
    """The right edge of the log in memory; nothing is on disk before `settle` or `flush`.

    The caller commits to its database in between. When that fails, this object is ahead and must be thrown away.
    """

    def __init__(self, tiles: TileFolder) -> None:
        self.tiles = tiles
        self.tree = Tree()
        self._edges: list[list[bytes]] = [[] for _ in range(_MAX_LEVEL + 1)]
        self._entries: list[bytes] = []
        self._full: list[tuple[int | str, int, bytes]] = []

    @classmethod
    def at(cls, tiles: TileFolder, size: int) -> TileWriter:
        """Take up the tiles where they hold `size` entries; the caller compares the root with what it knows."""
        writer = cls(tiles)
        for level in range(_MAX_LEVEL, -1, -1):
            full = size >> (HEIGHT * level)
            width = full % WIDTH
            writer._edges[level] = tiles.hashes(level, full // WIDTH, width) if width else []
            edge = Tree()
            edge.extend(writer._edges[level])
            writer.tree.peaks += edge.peaks
        writer.tree.size = size
        if size % WIDTH:
            writer._entries = unbundle(tiles.read(ENTRIES, size // WIDTH, size % WIDTH), size % WIDTH)
        return writer

    def append(self, entry: bytes) -> list[tuple[NodeId, bytes]]:
        """Add an entry; return its leaf hash and every subtree above it that is full now."""
        return [((level, index), node) for level, index, (node,) in self.extend([entry])]

    def extend(self, entries: Sequence[bytes]) -> list[Row]:
        """Add entries; return the row of their leaf hashes, and a row of each level above that has new full subtrees."""
        leaves = leaf_hashes(entries)
        rows: list[Row] = [(0, self.tree.size, leaves), *self.tree.grow(leaves)]
        self._entries += entries
        for level, _, hashes in rows:
            if level % HEIGHT == 0:
                self._edges[level // HEIGHT] += hashes
        self._set_full_aside()
        return rows

    def settle(self) -> None:
        """Write the tiles that are full."""
        self.tiles.write((level, index, WIDTH, text) for level, index, text in self._full)
        self._full.clear()

    def flush(self) -> None:
        """Write everything: the full tiles and the partial ones of the right edge."""
        self.settle()
        size = self.tree.size
        partial: list[tuple[int | str, int, int, bytes]] = []
        if self._entries:
            partial.append((ENTRIES, size // WIDTH, len(self._entries), bundle(self._entries)))
        for level, hashes in enumerate(self._edges):
            if hashes:
                partial.append((level, size >> (HEIGHT * (level + 1)), len(hashes), b"".join(hashes)))
        self.tiles.write(partial)

    def _set_full_aside(self) -> None:
        size = self.tree.size
        self._full += [(ENTRIES, index, bundle(part)) for index, part in _cut(self._entries, size)]
        for level, hashes in enumerate(self._edges):
            self._full += [(level, index, b"".join(part)) for index, part in _cut(hashes, size >> (HEIGHT * level))]


def _cut(edge: list[bytes], end: int) -> Iterator[tuple[int, list[bytes]]]:
    """Take the full tiles out of an edge whose last hash or entry is the one before `end`."""
    while len(edge) >= WIDTH:
        yield (end - len(edge)) // WIDTH, edge[:WIDTH]
        del edge[:WIDTH]


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a small file, so that a reader sees the old one or the new one and never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
