"""Say what write-once storage for archived leaves can do: put once, open, list; nothing replaces and nothing deletes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import BinaryIO


class ArchiveConflict(Exception):
    """The storage holds something else under this name already: one of the two is not the log."""


class ArchiveMissing(Exception):
    """The storage does not hold what was archived, or cannot be reached."""


class ArchiveStore(ABC):
    """A place that keeps what was put, as it was put."""

    @classmethod
    @abstractmethod
    def from_settings(cls, options: Mapping[str, str]) -> ArchiveStore:
        """Make the store of KEYSTEAD_ARCHIVE; `options` are its settings by name."""

    @abstractmethod
    def put(self, name: str, content: BinaryIO) -> str:
        """Store `content` and return its location; the same content again is no error, another is ArchiveConflict."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Open what was put; raise ArchiveMissing."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of everything that was put, sorted."""
