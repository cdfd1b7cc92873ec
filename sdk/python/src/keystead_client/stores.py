"""Keep what a rotating credential must not forget: in memory, in a file that only its owner reads, or in the system's keyring."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from keystead_client.errors import MissingExtra, Unsafe

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_UNFINISHED: Final = ".unfinished"
_LONGEST_WRITING: Final = 600  # seconds; whoever writes for longer was killed


class Store(Protocol):
    """Keeps one text. `exclusive` is held while a step of a rotation is taken: a fleet has one fetcher."""

    def load(self) -> str | None:
        """Return what was saved last; None when nothing was."""
        ...

    def save(self, text: str) -> None:
        """Keep the text; when this returns, a power cut does not lose it."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep others who use the same place waiting."""
        ...


class MemoryStore:
    """Keeps it while the process lives. After a restart the credential begins with the secret that it is given."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._lock = threading.Lock()

    def load(self) -> str | None:
        return self._text

    def save(self, text: str) -> None:
        self._text = text

    def exclusive(self) -> AbstractContextManager[None]:
        return _held(self._lock)


class FileStore:
    """Keeps it in a file with mode 0600, replaced as a whole. Processes that share the file share the credential."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()

    def load(self) -> str | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if os.name == "posix" and (found.st_mode & 0o077 or found.st_uid not in (os.geteuid(), 0)):
                raise Unsafe(f"{self._path} can be read by others: chmod 600 it, and rotate the key.")
            return file.read()

    def save(self, text: str) -> None:
        write_privately(self._path, text)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._lock, open(f"{self._path}.lock", "a+b", opener=_private) as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


class KeyringStore:
    """Keeps it in the keyring of the operating system, by the optional package `keyring`."""

    def __init__(self, service: str, name: str) -> None:
        try:
            self._keyring: Any = importlib.import_module("keyring")  # Any: an optional package
        except ImportError:
            raise MissingExtra("The keyring needs one more package: pip install 'keystead-client[keyring]'") from None
        self._service, self._name = service, name
        self._lock = threading.Lock()

    def load(self) -> str | None:
        text: str | None = self._keyring.get_password(self._service, self._name)
        return text

    def save(self, text: str) -> None:
        self._keyring.set_password(self._service, self._name, text)

    def exclusive(self) -> AbstractContextManager[None]:
        return _held(self._lock)


@contextlib.contextmanager
def _held(lock: threading.Lock) -> Iterator[None]:
    with lock:
        yield


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def write_privately(path: Path, text: str) -> None:
    """Write a file that only its owner reads: whole or not at all, also when the power goes."""
    # mkstemp makes it 0600
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the same call
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - the same call
        raise
    if os.name == "posix":
        with contextlib.suppress(OSError):  # what is asked for is written
            _remove_unfinished(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove_unfinished(path: Path) -> None:
    """Remove what writers of this file left that were killed in the middle: it holds a secret, and nobody would ever look for it."""
    ours = re.compile(re.escape(f".{path.name}.") + "[a-z0-9_]{8,12}" + re.escape(_UNFINISHED))
    before = time.time() - _LONGEST_WRITING
    with os.scandir(path.parent) as entries:
        for each in entries:
            if ours.fullmatch(each.name) is None:
                continue
            found = each.stat(follow_symlinks=False)
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mtime < before:
                with contextlib.suppress(FileNotFoundError):  # another process does the same
                    os.unlink(each.path)  # noqa: PTH108 - the same call
