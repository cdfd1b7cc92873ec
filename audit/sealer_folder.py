"""Keep what only the sealer has: its signing key, its memory of the log's head, and the tiles.

This folder belongs on a volume of the sealer's own. The memory is what makes an older or rewritten database show.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from audit.keywrap.base import KeyWrap, load_wrap
from audit.merkle import EMPTY_ROOT
from audit.notes import Note, NoteError, Signer, Verifier
from audit.signing_keys import FolderError, SigningKeys, read_signer, write_key
from audit.tiles import TileFolder, write_whole

KEY_NAME = "signing.key"
VERIFIER_NAME = "log.vkey"
STATE_NAME = "state.json"
CHECKPOINT_NAME = "checkpoint"
LINKS = "keys"

__all__ = ["AnotherSealer", "FolderError", "SealerFolder", "SealerState", "create_key", "read_links", "read_signer"]


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

    def write_verifiers(self, verifiers: Sequence[Verifier]) -> None:
        """Say which keys sign now, the newest last; during a rotation there are two."""
        write_whole(self.verifier_file, "".join(f"{each.text()}\n" for each in verifiers))

    def links(self) -> list[str]:
        """Return the proofs that lead from one key to the next."""
        return read_links(self.path / "tiles")

    def write_link(self, index: int, proof: str) -> None:
        """Publish such a proof beside the tiles."""
        place = self.path / "tiles" / LINKS
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / f"{index:012d}.tlog-proof", proof)

    def freeze(self, origin: str) -> Path:
        """Move what belongs to a log that ended aside, a file at a time; what was moved before stays there."""
        place = self.path / "frozen" / re.sub(r"[^A-Za-z0-9._-]", "-", origin)[:100]
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (KEY_NAME, "keys", VERIFIER_NAME, "tiles", STATE_NAME):
            if (self.path / name).exists() and not (place / name).exists():
                (self.path / name).rename(place / name)
        return place

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


def read_links(tiles: Path) -> list[str]:
    """Return the links that lie beside a copy of the tiles."""
    return [each.read_text() for each in sorted((tiles / LINKS).glob("*.tlog-proof"))]


def create_key(
    folder: SealerFolder, key_file: Path | None = None, *, name: str = "", wrap: KeyWrap | None = None
) -> Verifier:
    """Make the first signing key and its public half; an existing key is never replaced."""
    keys = SigningKeys.of(folder.path, key_file, wrap)
    if keys.exist():
        raise FileExistsError(keys.first)
    signer = Signer.generate(name or f"keystead/audit-log/{secrets.token_hex(4)}")
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys.first.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_key(keys.first, signer, wrap or load_wrap())
    folder.write_verifiers([signer.verifier])
    return signer.verifier
