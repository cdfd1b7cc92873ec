"""Keep each checkpoint as a file of its own in a folder: a mounted share of another host, or a disk that only grows."""

from __future__ import annotations

import os
from pathlib import Path

from audit.notes import Checkpoint, Note, NoteError
from audit.tiles import sync_folder
from audit.witness.base import Head, Seen, Witness, WitnessFailed

DIGITS = 19


class Directory(Witness):
    """A folder; files are written once and never again."""

    kind = "directory"
    is_elsewhere = False
    every = 60.0

    def __init__(self, *, path: str, name: str = "", elsewhere: bool | None = None, every: float | None = None) -> None:
        super().__init__(name=name or f"directory {path}", elsewhere=elsewhere, every=every)
        self.path = Path(path)

    def publish(self, head: Head) -> Seen:
        """Compare with the newest that is kept, write the next, and read it again from the disk."""
        kept = self.read_back()
        if kept is not None:
            head.compare(kept)
        ours = head.checkpoint
        try:
            write_once(self.path / f"{ours.size:0{DIGITS}d}.note", head.note.encode())
        except OSError as error:
            raise WitnessFailed("unreachable", f"{self.path} cannot be written: {type(error).__name__}") from error
        kept = self.read_back()
        if kept is None or (kept.size, kept.root) != (ours.size, ours.root):
            raise WitnessFailed("read_back", f"{self.path} does not hold what was written there")
        return Seen(size=kept.size)

    def read_back(self) -> Checkpoint | None:
        """Return the newest file that is there."""
        try:
            names = [each.name for each in self.path.iterdir() if each.suffix == ".note" and each.stem.isdecimal()]
            if not names:
                return None
            return Checkpoint.parse(Note.parse((self.path / max(names)).read_text("utf-8")).body)
        except OSError as error:
            raise WitnessFailed("unreachable", f"{self.path} cannot be read: {type(error).__name__}") from error
        except (NoteError, UnicodeDecodeError) as error:
            raise WitnessFailed("read_back", f"the newest file in {self.path} is no checkpoint") from error


def write_once(path: Path, text: bytes) -> None:
    """Write a file whole or not at all; one that is there already stays as it is."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        if not path.exists():
            draft.rename(path)  # a share may know no links, and only we write here
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
