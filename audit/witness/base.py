"""Say what a witness is: it is shown the newest checkpoint, remembers it, and tells what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audit.merkle import EMPTY_ROOT
from audit.notes import Checkpoint, Note
from audit.tile_proofs import TileSource, growth_of, root_of


class WitnessFailed(Exception):
    """The witness did not take the checkpoint; `code` says why. It is tried again."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class AnotherHistory(WitnessFailed):
    """The witness remembers a log that is not ours: ours was set back or rewritten, or somebody else signs with our key."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest published checkpoint, and the tiles that show how it grew."""

    note: str
    tiles: TileSource

    @property
    def checkpoint(self) -> Checkpoint:
        """Return what the note says; it is our own and was verified when it was made."""
        return Checkpoint.parse(Note.parse(self.note).body)

    def growth(self, old: int) -> list[bytes]:
        """Return the proof that this log begins with its first `old` leaves."""
        size = self.checkpoint.size
        return growth_of(self.tiles, old, size, size=size)

    def compare(self, kept: Checkpoint) -> None:
        """Raise AnotherHistory unless `kept` is an earlier head of this log, or this one."""
        ours = self.checkpoint
        if kept.origin != ours.origin:
            raise WitnessFailed("another_log", f"what is kept there is of {kept.origin}, not of {ours.origin}")
        if kept.size > ours.size:
            raise AnotherHistory("ahead", f"{kept.size} leaves were seen there, and the log has {ours.size}")
        root = root_of(self.tiles, kept.size, size=ours.size) if kept.size else EMPTY_ROOT
        if root != kept.root:
            raise AnotherHistory("fork", f"the first {kept.size} leaves that were seen there are not those of the log")


@dataclass(frozen=True, kw_only=True)
class Cosignature:
    """The verified line by which a witness says that it saw a checkpoint; `at` in Unix seconds."""

    witness: str
    line: str
    at: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a witness remembers now."""

    size: int
    cosignature: Cosignature | None = None


class Witness:
    """Keep checkpoints somewhere that whoever writes the database cannot change."""

    kind: ClassVar[str]
    is_elsewhere: bool = True
    every: float = 10.0
    """How often the newest checkpoint is shown to it at most, in seconds."""

    def __init__(self, *, name: str = "", elsewhere: bool | None = None, every: float | None = None) -> None:
        self.name = name or self.kind
        self.is_elsewhere = self.is_elsewhere if elsewhere is None else elsewhere
        self.every = float(every) if every is not None else self.every

    def publish(self, head: Head) -> Seen:
        """Show the checkpoint, and return what a look at what is kept then says; raise WitnessFailed or AnotherHistory."""
        raise NotImplementedError

    def read_back(self) -> Checkpoint | None:
        """Return the newest checkpoint that is kept, or None when nothing is or the place cannot be read."""
        raise NotImplementedError
