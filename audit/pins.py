"""Read what the database does not get to say: pinned keys, checkpoints that were kept, and the sealer's own copy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from audit.log_keys import linked
from audit.notes import Checkpoint, NoteError, Verifier, open_checkpoint
from audit.sealer_folder import CHECKPOINT_NAME, SealerFolder, read_links
from audit.tiles import TileFolder


class CopyDistrusted(Exception):
    """The head of the sealer's copy is not signed by a pinned key."""


@dataclass(frozen=True, kw_only=True)
class Pins:
    """What the database does not get to say: public keys, kept heads, and the sealer's copy with its head."""

    verifiers: Sequence[Verifier]
    heads: Sequence[Checkpoint] = ()
    tiles: TileFolder | None = None
    tiles_head: Checkpoint | None = None


def log_keys(keys: Sequence[str] = ()) -> list[Verifier]:
    """Read these public keys of the log (texts or files), else those of KEYSTEAD_LOG_KEYS, else the sealer's own.

    A key beside the sealer is better than none, and worse than one that an auditor kept. Raises OSError or NoteError.
    """
    named = keys or settings.KEYSTEAD_LOG_KEYS or [str(_folder().verifier_file)]
    return [verifier for each in named for verifier in _verifiers(each)]


def read_pins(*, keys: Sequence[str] = (), trust: Sequence[str] = (), tiles: str = "") -> Pins:
    """Read keys, kept checkpoints and tiles (else the sealer's, if they can be read).

    Raises OSError or NoteError when there is nothing to verify with, and CopyDistrusted.
    """
    verifiers, folder = log_keys(keys), _folder()
    copy = Path(tiles) if tiles else folder.path / "tiles"
    head: Checkpoint | None = None
    if tiles or os.access(copy / CHECKPOINT_NAME, os.R_OK):
        try:
            verifiers = linked(verifiers, read_links(copy))
            head = open_checkpoint((copy / CHECKPOINT_NAME).read_text(), verifiers)
        except NoteError as error:
            raise CopyDistrusted(f"the head of the sealer's copy does not verify: {error}") from error
    return Pins(
        verifiers=verifiers,
        heads=[open_checkpoint(Path(each).read_text(), verifiers) for each in trust],
        tiles=TileFolder(copy) if head else None,
        tiles_head=head,
    )


def _folder() -> SealerFolder:
    return SealerFolder(Path(settings.KEYSTEAD_SEALER_FOLDER))


def _verifiers(key: str) -> list[Verifier]:
    """Read a key as a text or a file; the error names it, for a file that is not there would be read as a broken text."""
    if Path(key).is_file():
        lines = Path(key).read_text().splitlines()
    elif "+" in key:
        lines = key.splitlines()
    else:
        raise NoteError(
            f"there is no file {key} with a public key of the log; name one with --key or KEYSTEAD_LOG_KEYS"
        )
    return [Verifier.parse(line) for line in lines]
