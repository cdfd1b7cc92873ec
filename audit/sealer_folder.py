"""Keep what only the sealer has: its signing key, its memory of the log's head, and the tiles.

This folder belongs on a volume of the sealer's own. The memory is what makes an older or rewritten database show.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from audit.merkle import EMPTY_ROOT
from audit.notes import Note, NoteError, Signer, Verifier
from audit.tiles import TileFolder, sync_folder, write_whole

KEY_NAME = "signing.key"
VERIFIER_NAME = "log.vkey"
STATE_NAME = "state.json"
CHECKPOINT_NAME = "checkpoint"


class FolderError(Exception):
    """The sealer cannot work with this folder: no key, a key that others can read, a torn state."""


class AnotherSealer(Exception):
    """Another sealer works in this folder."""


@dataclass(frozen=True, kw_only=True)
class SealerState:
    """The head of the log as the sealer last published it."""

    origin: str
    size: int = 0
    root: str = EMPTY_ROOT.hex()
    note: str = ""
    version: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the file; raise FolderError for anything that is not whole."""
        try:
            state = cls(**json.loads(text))
            whole = len(bytes.fromhex(state.root)) == 32 and state.size >= 0 and state.version == 1
            if state.note:
                Note.parse(state.note)
        except (ValueError, TypeError, NoteError) as error:
            raise FolderError(f"{STATE_NAME} is no state of a sealer") from error
        if not whole:
            raise FolderError(f"{STATE_NAME} is no state of a sealer")
        return state


@dataclass(frozen=True)
class SealerFolder:
    """The files of one sealer."""

    path: Path

    @property
    def tiles(self) -> TileFolder:
        """Return the copy of the log outside the database."""
        return TileFolder(self.path / "tiles")

    @property
    def key_file(self) -> Path:
        """Hold the signing key, where no other place is named."""
        return self.path / KEY_NAME

    @property
    def verifier_file(self) -> Path:
        """Hold the public key, for auditors to pin."""
        return self.path / VERIFIER_NAME

    def read_state(self) -> SealerState | None:
        """Return what was last published, or None when nothing ever was."""
        try:
            return SealerState.parse((self.path / STATE_NAME).read_text())
        except FileNotFoundError:
            return None

    def write_state(self, state: SealerState) -> None:
        """Publish the checkpoint beside its tiles, then remember it."""
        tiles = self.path / "tiles"
        tiles.mkdir(exist_ok=True)
        write_whole(tiles / CHECKPOINT_NAME, state.note)
        write_whole(self.path / STATE_NAME, json.dumps(asdict(state), indent=1) + "\n", mode=0o600)

    @contextlib.contextmanager
    def only_one(self) -> Iterator[None]:
        """Hold the folder; the kernel lets go of it when we die, however we die."""
        with (self.path / "sealer.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AnotherSealer(f"another sealer works in {self.path}") from None
            yield


def read_signer(path: Path) -> Signer:
    """Read the signing key; refuse one that others can read: whoever has it can sign another past."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()
    except OSError as error:
        raise FolderError(f"no signing key in {path}: audit_sealer --generate-key makes one") from error
    if mode & 0o077:
        raise FolderError(f"{path} can be read by others: chmod 400")
    try:
        return Signer.parse(text)
    except NoteError as error:
        raise FolderError(f"{path} holds no signing key") from error


def create_key(folder: SealerFolder, key_file: Path | None = None, *, name: str = "") -> Verifier:
    """Make a signing key that only its owner may read, and its public half; an existing key is never replaced."""
    key_file = key_file or folder.key_file
    signer = Signer.generate(name or f"keystead/audit-log/{secrets.token_hex(4)}")
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(signer.secret_text() + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(key_file.parent)
    write_whole(folder.verifier_file, signer.verifier.text() + "\n")
    return signer.verifier
