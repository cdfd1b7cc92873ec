"""Archive into a folder: files that are synced, read-only (0444), and never replaced. Mount it where nobody deletes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from audit.archives.base import ArchiveConflict, ArchiveMissing, ArchiveStore
from audit.tiles import sync_folder

_CHUNK = 1 << 20


class FolderStore(ArchiveStore):
    """One folder, flat."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def from_settings(cls, options: Mapping[str, str]) -> FolderStore:
        """Take the folder that is named."""
        return cls(Path(options["folder"]))

    def put(self, name: str, content: BinaryIO) -> str:
        """Write beside, sync, then link: unlike a rename, a link never replaces."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, draft = self.folder / name, self.folder / f".{name}.{os.getpid()}"
        with draft.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o444)
        try:
            os.link(draft, path)
        except FileExistsError:
            if not _same(draft, path):
                raise ArchiveConflict(f"{path} says something else") from None
        finally:
            draft.unlink()
        sync_folder(self.folder)
        return str(path)

    def open(self, name: str) -> BinaryIO:
        """Open the file."""
        try:
            return (self.folder / name).open("rb")
        except OSError as error:
            raise ArchiveMissing(f"{self.folder / name} cannot be read") from error

    def names(self) -> list[str]:
        """List the files, without drafts of a copy that was killed."""
        if not self.folder.is_dir():
            return []
        return sorted(each.name for each in self.folder.iterdir() if not each.name.startswith("."))


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while chunk := left.read(_CHUNK):
            if chunk != right.read(_CHUNK):
                return False
    return True
