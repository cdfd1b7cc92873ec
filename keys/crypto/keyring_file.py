"""Follow the keyring file: what an operator adds, promotes or forgets counts in every process that can see it, from then on.

A process that went on with what it read at its start would take the rows of a newer key for forged, and believe those of one
that leaked.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from keys.crypto.errors import KeyringUnusable
from keys.crypto.keyring import Keyring

_log = structlog.get_logger("keystead.keyring")
_Look = tuple[int, ...]


class KeyringFile:
    """A keyring as its file is now; as it was, while that cannot be read."""

    def __init__(self, path: Path, *, keks: str) -> None:
        self._path = path
        self._keks = keks
        self._held: tuple[_Look, Keyring] | None = None  # one value, so that no thread sees half of it

    def read(self) -> Keyring:
        """Return the keyring, the same object as long as the file stays as it is; KeyringUnusable if it never was one."""
        # Looked at before it is read: what replaces it in between is read at the next look.
        look, held = self._look(), self._held
        if held is not None and held[0] == look:
            return held[1]
        try:
            keyring = Keyring.load(self._path, keks=self._keks)
        except (KeyringUnusable, OSError) as error:
            if held is None:
                raise
            _log.error("the keyring cannot be read again, and stays as it was", error=str(error))
            keyring = held[1]
        self._held = look, keyring
        return keyring

    def _look(self) -> _Look:
        try:
            facts = self._path.stat()
        except OSError:
            return ()
        return facts.st_dev, facts.st_ino, facts.st_size, facts.st_ctime_ns
