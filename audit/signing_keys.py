"""Hold the signing keys of a sealer: the first one, its successors, and what became of each.

    signing.key             the first key, or wherever KEYSTEAD_SEALER_KEY_FILE is
    keys/0001.key           its successor; every key that is here and not retired signs
    keys/<id>.retiring      somebody wants the key of this id retired
    keys/<id>.retired       it is: the file may be destroyed

Each step is one file that is there or not, so that a process that is killed leaves nothing half done.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from audit.keywrap.base import KeyWrap, WrapError, load_wrap
from audit.notes import NoteError, Signer
from audit.tiles import sync_folder, write_whole


class FolderError(Exception):
    """The sealer cannot work with this folder: no key, a key that others can read, a torn state."""


@dataclass(frozen=True)
class SigningKeys:
    """The key files of one sealer."""

    folder: Path
    first: Path
    wrap: KeyWrap

    @classmethod
    def of(cls, folder: Path, first: Path | None = None, wrap: KeyWrap | None = None) -> SigningKeys:
        """Return the keys of a sealer's folder."""
        return cls(folder / "keys", first or folder / "signing.key", wrap or load_wrap())

    def exist(self) -> bool:
        """Tell whether there is any key, so that no second first key is ever made."""
        return self.first.exists() or any(self.folder.glob("*.key"))

    def held(self) -> list[Signer]:
        """Return the keys that sign, oldest first; raise FolderError when there is none, or one cannot be used."""
        retired = self.marked("retired")
        paths = [*([self.first] if self.first.exists() else []), *self._successors()]
        found = []
        for path in paths:
            if not _is_readable(path) and retired:
                continue  # what is left of a retired key
            signer = read_signer(path, self.wrap)
            if signer.verifier.id.hex() not in retired:
                found.append(signer)
        if not found:
            raise FolderError(f"no signing key in {self.first}: audit_sealer --generate-key makes one")
        if len({each.name for each in found}) > 1:
            raise FolderError("the signing keys are of different logs")
        return found

    def names(self) -> tuple[str, ...]:
        """Return what lies in the folder: when that changes, the keys are read again."""
        return tuple(sorted(each.name for each in self.folder.iterdir())) if self.folder.is_dir() else ()

    def make_successor(self) -> Signer:
        """Make the next key, or return the one that waits already: two are enough at once."""
        held = self.held()
        if len(held) > 1:
            return held[-1]
        signer = Signer.generate(held[0].name)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        number = max((int(each.stem) for each in self._successors()), default=0) + 1
        write_key(self.folder / f"{number:04d}.key", signer, self.wrap)
        return signer

    def mark(self, signer: Signer, word: str) -> None:
        """Write down that a key is `retiring` or `retired`."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(self.folder / f"{signer.verifier.id.hex()}.{word}", signer.verifier.text() + "\n", mode=0o600)

    def marked(self, word: str) -> set[str]:
        """Return the ids of the keys that are `retiring` or `retired`."""
        return {each.stem for each in self.folder.glob(f"*.{word}")}

    def lock_away(self, signer: Signer) -> Path | None:
        """Make the file of a retired key unreadable, where it is ours to change; return it."""
        for path in (self.first, *self._successors()):
            if _is_readable(path) and read_signer(path, self.wrap).verifier == signer.verifier:
                try:
                    path.chmod(0)
                except OSError:
                    return None  # a secret of the container's: the operator takes it away
                return path
        return None

    def _successors(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9][0-9][0-9][0-9].key"))


def read_signer(path: Path, wrap: KeyWrap | None = None) -> Signer:
    """Read a signing key; refuse one that others can read: whoever has it can sign another past."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()
    except OSError as error:
        raise FolderError(f"no signing key in {path}: audit_sealer --generate-key makes one") from error
    if mode & 0o077:
        raise FolderError(f"{path} can be read by others: chmod 400")
    try:
        return Signer.parse((wrap or load_wrap()).unwrap(text))
    except WrapError as error:
        raise FolderError(f"{path}: {error}") from error
    except NoteError as error:
        raise FolderError(f"{path} holds no signing key") from error


def write_key(path: Path, signer: Signer, wrap: KeyWrap) -> None:
    """Write a key that only its owner may read, whole or not at all; an existing file is never replaced."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        text = wrap.wrap(signer.secret_text())
    except WrapError as error:
        raise FolderError(str(error)) from error
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # unlike a rename, a link never replaces
    finally:
        draft.unlink()
    sync_folder(path.parent)


def _is_readable(path: Path) -> bool:
    """Tell whether the file has any right of its owner's left; root could read it all the same."""
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o400)
    except OSError:
        return False
