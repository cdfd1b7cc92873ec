"""Write the files of a bundle into a ZIP one after the other, and count and hash what goes in."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, BinaryIO, Self

CHUNK = 64 * 1024
# The fastest level: events are half digits and hashes, and the slower ones win little.
_LEVEL = 1
_PLAIN_FILE = 0o644 << 16


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """What the manifest says of one file; `rows` where it has something for each event."""

    name: str
    bytes: int
    sha256: str
    rows: int | None = None


class CountedFile:
    """A file of the ZIP that is being written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = self.rows = 0

    def write(self, text: bytes, *, rows: int = 0) -> None:
        """Write on."""
        self._file.write(text)
        self._digest.update(text)
        self.bytes += len(text)
        self.rows += rows

    def counted(self, name: str, *, rows: int | None) -> BundleFile:
        """Return what was written."""
        return BundleFile(name=name, bytes=self.bytes, sha256=self._digest.hexdigest(), rows=rows)


class BundleZip:
    """A ZIP whose bytes depend on its contents alone."""

    def __init__(self, into: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._files: list[BundleFile] = []

    @property
    def files(self) -> tuple[BundleFile, ...]:
        """Return what the manifest says of the files so far."""
        return tuple(self._files)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    @contextmanager
    def lines(self, name: str) -> Iterator[CountedFile]:
        """Write a file that grows, with rows."""
        with self._zip.open(_member(name), "w", force_zip64=True) as file:
            counted = CountedFile(file)
            yield counted
        self._files.append(counted.counted(name, rows=counted.rows))

    def copy(self, name: str, source: Any, *, rows: int) -> None:
        """Add a file that was written aside (Any: a spooled file is no IO for the types)."""
        source.seek(0)
        with self._zip.open(_member(name), "w", force_zip64=True) as file:
            counted = CountedFile(file)
            while text := source.read(CHUNK):
                counted.write(text)
        self._files.append(counted.counted(name, rows=rows))

    def add(self, name: str, text: bytes) -> None:
        """Add a small file."""
        self._zip.writestr(_member(name), text)
        self._files.append(BundleFile(name=name, bytes=len(text), sha256=hashlib.sha256(text).hexdigest(), rows=None))


def add_members(into: BinaryIO, members: Mapping[str, bytes]) -> None:
    """Add small files to a ZIP that was closed."""
    with zipfile.ZipFile(into, "a", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, text in members.items():
            archive.writestr(_member(name), text)


def is_finished(into: BinaryIO, name: str) -> bool:
    """Tell whether the last file is there, so that finishing twice does no harm."""
    with zipfile.ZipFile(into) as archive:
        return name in archive.namelist()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)  # with no time of its own: 1980
    member.compress_type, member.external_attr, member.create_system = zipfile.ZIP_DEFLATED, _PLAIN_FILE, 3
    return member
