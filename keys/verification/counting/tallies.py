"""Count what is presented, and by whom, in a file that is memory: nothing is lost when the process is killed.

A file is written by one process, which holds its lock while it lives, and is never changed after that. Whoever can take the
lock may add what is in it to the database (keys/monitoring/tally_files.py). What the kernel has in its pages survives the
process; only a machine that loses power loses counts, those since the last file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import mmap
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import structlog

from keys.crypto.key_text import without_keys
from keys.states import VALID
from keys.verification.memory.snapshot import Entry
from keys.verification.verifier import Client

MAGIC: Final = b"KSUSES1\n"
SUFFIX: Final = ".uses"
UNFINISHED: Final = ".new"
SIZE: Final = 4 * 1024 * 1024
FULL: Final = SIZE - 8 * 1024  # a record is at most some 6 KiB
_HEAD: Final = struct.Struct("<Q")  # bytes of the name that follows, padded to 8; 0 ends the file
_BODY: Final = struct.Struct("<Qdd")  # count, first and last time
SeenAs = tuple[str | None, str, str]  # address, user agent and instance of a client, as the service that asks says
NOBODY: Final[SeenAs] = (None, "", "")
PERIOD: Final = 5.0  # seconds that a file is written; then it waits for whoever adds it to the database
GRACE: Final = 1.0  # seconds after which nobody counts into the file of before any more
_log = structlog.get_logger("keystead.verification")


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How often one client presented one version with one outcome, and when first and last (seconds since the epoch)."""

    version: UUID
    outcome: str
    client: Client
    count: int
    first_at: float
    last_at: float


class TallyFile:
    """One file of counts, open for counting. Not for several threads: a verifier answers in one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made under a name that no reader looks at, so that nobody takes the lock before we have it.
        self.path = folder / f"{uuid4()}{SUFFIX}"
        made = self.path.with_suffix(UNFINISHED)
        self._descriptor = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self._descriptor, 0, SIZE)  # a full disk is noticed now, not as a signal while counting
            self._map = mmap.mmap(self._descriptor, SIZE)
            made.rename(self.path)
        except BaseException:
            os.close(self._descriptor)
            made.unlink(missing_ok=True)  # or each try would take from what little room there is
            raise
        self._map[: len(MAGIC)] = MAGIC
        self._view = memoryview(self._map)
        self._counts = self._view.cast("Q")
        self._times = self._view.cast("d")
        self._end = len(MAGIC)
        self._places: dict[Entry | tuple[Entry, str, SeenAs], int] = {}

    @property
    def is_empty(self) -> bool:
        return not self._places

    @property
    def is_full(self) -> bool:
        return self._end > FULL

    def count(self, entry: Entry, outcome: str, at: float, client: SeenAs = NOBODY) -> None:
        """Count one verification; once there is no room for newcomers, nothing new is remembered until the next file."""
        # By the entry itself and not by its id: an object is hashed in no time, and nobody else has its address while it is held.
        name = entry if outcome is VALID and client is NOBODY else (entry, outcome, client)
        place = self._places.get(name)
        if place is None:
            place = self._new_place(entry.version, outcome, client, at)
            if place is None:
                return
            self._places[name] = place
        self._counts[place] += 1
        self._times[place + 2] = at

    def close(self) -> None:
        """Let go: from now on the file is for whoever adds it to the database. An empty one is nobody's."""
        self._counts.release()
        self._times.release()
        self._view.release()
        self._map.close()
        if self.is_empty:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _new_place(self, version: UUID, outcome: str, client: SeenAs, at: float) -> int | None:
        if self.is_full:
            return None
        name = b'["%032x", %s' % (version.int, _name_after_version(outcome, client))
        name += b" " * (-len(name) % 8)
        body = self._end + _HEAD.size + len(name)
        self._map[self._end + _HEAD.size : body] = name
        _BODY.pack_into(self._map, body, 0, at, at)
        # The length last: a reader of a file whose writer was killed never sees half a record.
        _HEAD.pack_into(self._map, self._end, len(name))
        self._end = body + _BODY.size
        return body // 8


@lru_cache(maxsize=1_000)
def _name_after_version(outcome: str, client: SeenAs) -> bytes:
    """The rest of a record's name: the same for many versions, and most of what writing a record costs."""
    return json.dumps([outcome, *without_secrets(client)])[1:].encode()


def without_secrets(client: SeenAs) -> SeenAs:
    """What may be kept of a client: some put their key into what they are called, and people read that."""
    address, user_agent, instance = client
    return address, without_keys(user_agent), without_keys(instance)


class Uncounted(TallyFile):
    """In the place of a file for which there is no room: nothing is counted, and verification goes on."""

    is_empty = False
    is_full = True

    def __init__(self) -> None:
        """There is no file."""

    def count(self, entry: Entry, outcome: str, at: float, client: SeenAs = NOBODY) -> None:
        """Forget it."""

    def close(self) -> None:
        """Nothing is held."""


class Tallies:
    """The file that is counted into now, and the one before it while somebody may still hold it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._has_room = True
        self._since = time.monotonic()
        self._before: TallyFile | None = None
        try:
            self.file = TallyFile(folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise  # a folder that is not ours is a mistake to be told of now; a full disk must not keep a door closed
            self._tell(error)
            self.file = Uncounted()

    def turn(self) -> None:
        """Begin a new file when it is time; called now and then by another thread than the one that counts."""
        age = time.monotonic() - self._since
        if self._before is not None and age > GRACE:
            self._before.close()
            self._before = None
        if self._before is None and not self.file.is_empty and (age > PERIOD or self.file.is_full):
            self._since = time.monotonic()
            try:
                followed_by = TallyFile(self._folder)
            except OSError as error:
                self._tell(error)  # what there is of a file is counted into on, and the next turn tries again
                return
            self._before, self.file = self.file, followed_by
            self._has_room = True

    def _tell(self, error: OSError) -> None:
        if self._has_room:  # once for each time
            _log.error("no room to count uses", exc_info=error)
        self._has_room = False

    def close(self) -> None:
        """Let go of all files, when nobody counts any more."""
        for file in (self._before, self.file):
            if file is not None:
                with contextlib.suppress(BufferError, ValueError):
                    file.close()


def read(content: bytes) -> Iterator[Tally]:
    """Read every record of a file that nobody writes any more."""
    if content[: len(MAGIC)] != MAGIC:
        return
    place = len(MAGIC)
    while place + _HEAD.size <= len(content):
        (length,) = _HEAD.unpack_from(content, place)
        body = place + _HEAD.size + length
        if length == 0 or body + _BODY.size > len(content):
            return
        version, outcome, address, user_agent, instance = json.loads(content[place + _HEAD.size : body])
        count, first_at, last_at = _BODY.unpack_from(content, body)
        yield Tally(
            version=UUID(version),
            outcome=outcome,
            client=Client(address=address, user_agent=user_agent, instance=instance),
            count=count,
            first_at=first_at,
            last_at=last_at,
        )
        place = body + _BODY.size
