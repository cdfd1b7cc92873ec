"""Look at a log from outside, as cron does: fetch its checkpoint, prove from its tiles that it only grew, cosign, keep.

Plain Python. The log needs no way to reach us, only we one to its tiles: a folder, a share, or an address that serves them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from audit.merkle import ProofError, leaf_hash
from audit.notes import Checkpoint, NoteError, Verifier, open_checkpoint
from audit.tile_proofs import TileSource, growth_of
from audit.tiles import (
    ENTRIES,
    WIDTH,
    TileConflict,
    TileFolder,
    TileMissing,
    TileWriter,
    tile_path,
    unbundle,
    write_whole,
)
from audit.witness.base import AnotherHistory, WitnessFailed
from audit.witness.cosigner import Cosigner, submission
from audit.witness.fetching import address, exchange

LONGEST_TILE = 256 * (16 * 1024 + 2)  # a bundle of 256 events of the greatest size


class LogSource(TileSource, Protocol):
    """Where a log shows itself."""

    def checkpoint(self) -> str:
        """Return its newest signed note."""


class FolderSource(TileFolder):
    """A copy of the tiles on a disk or share."""

    def checkpoint(self) -> str:
        try:
            return (self.folder / "checkpoint").read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WitnessFailed("unreachable", f"{self.folder} shows no checkpoint") from error


class WebSource:
    """Tiles behind an address (C2SP tlog-tiles)."""

    def __init__(self, url: str) -> None:
        self.url = address(url)

    def checkpoint(self) -> str:
        status, body = exchange(f"{self.url}/checkpoint")
        if status != 200:
            raise WitnessFailed("unreachable", f"{self.url} shows no checkpoint: {status}")
        return body.decode("utf-8", "replace")

    def read(self, level: int | str, index: int, width: int) -> bytes:
        """Fetch a tile; where a partial one was replaced meanwhile, the full one holds the same at its start."""
        for each in dict.fromkeys((width, WIDTH)):
            status, body = exchange(f"{self.url}/{tile_path(level, index, each)}", longest=LONGEST_TILE)
            if status == 200:
                return body
            if status not in (403, 404):
                break
        raise TileMissing(f"{tile_path(level, index, width)} is missing")


def source_at(place: str) -> LogSource:
    """Return the log at an address or in a folder."""
    return WebSource(place) if "://" in place else FolderSource(Path(place))


def look(source: LogSource, cosigner: Cosigner, logs: Sequence[Verifier], *, keep: Path | None = None) -> Checkpoint:
    """Cosign the newest checkpoint and, with `keep`, copy and hash every new entry first; AnotherHistory when it did not only grow."""
    note = source.checkpoint()
    try:
        new = open_checkpoint(note, logs)
    except NoteError as error:
        raise WitnessFailed("unknown_key", f"the checkpoint is not signed as pinned: {error}") from error
    kept = cosigner.remembered(new.origin)
    if new.size < kept.size:
        raise AnotherHistory("ahead", f"{kept.size} leaves were seen, and the log shows {new.size}")
    try:
        proof = growth_of(source, kept.size, new.size, size=new.size)
        if keep is not None:
            copy(source, TileFolder(keep), new)
    except (TileMissing, ProofError) as error:
        raise WitnessFailed("tiles", f"the log does not show what proves its growth: {error}") from error
    answer = cosigner.add_checkpoint(submission(kept.size, proof, note))
    if answer.status == 422:
        raise AnotherHistory("fork", f"the first {kept.size} leaves that were seen are not those of the log")
    if answer.status == 409:
        raise WitnessFailed("busy", "another look was faster")
    if answer.status != 200:
        raise WitnessFailed("refused", answer.body.strip())
    return new


def copy(source: LogSource, folder: TileFolder, head: Checkpoint) -> None:
    """Take over the entries that our copy lacks, and hash them ourselves: what does not give the signed root is not kept."""
    folder.folder.mkdir(parents=True, exist_ok=True)
    size = _size_of(folder)
    if size > head.size:
        raise AnotherHistory("ahead", f"{size} entries were kept, and the log shows {head.size}")
    writer = TileWriter.at(folder, size)
    tree = writer.tree.copy()
    tree.extend(leaf_hash(entry) for entry in _new_entries(source, size, head.size))
    if tree.root() != head.root:
        raise AnotherHistory("fork", f"the entries do not give the root of the signed {head.size} leaves")
    # A second time, now to write: a log that is taken over for the first time does not fit into memory.
    try:
        for number, entry in enumerate(_new_entries(source, size, head.size), start=1):
            writer.append(entry)
            if number % WIDTH == 0:
                writer.settle()
        writer.flush()
    except TileConflict as error:
        raise AnotherHistory("fork", f"a kept tile says something else: {error}") from error
    if writer.tree.root() != head.root:
        raise AnotherHistory("fork", "the log showed other entries when it was asked a second time")
    write_whole(folder.folder / "size", f"{head.size}\n")


def _new_entries(source: LogSource, start: int, end: int) -> Iterator[bytes]:
    for index in range(start // WIDTH, -(-end // WIDTH)):
        width = min(WIDTH, end - index * WIDTH)
        yield from _entries(source.read(ENTRIES, index, width), width)[max(0, start - index * WIDTH) :]


def _entries(text: bytes, width: int) -> list[bytes]:
    """Take a bundle apart that holds at least `width` entries."""
    count, at = 0, 0
    while at < len(text):
        at += 2 + int.from_bytes(text[at : at + 2], "big")
        count += 1
    return unbundle(text, count)[:width]


def _size_of(folder: TileFolder) -> int:
    """Return how many entries were kept and synced."""
    try:
        return int((folder.folder / "size").read_text())
    except FileNotFoundError:
        return 0
