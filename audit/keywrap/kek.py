"""Wrap signing keys by a key-encryption key that comes from a secret file or from a command, such as a vault's.

A copy of the sealer's folder is then no key. AES-256-GCM with a random nonce; one key-encryption key wraps a handful of
keys in its life, so nonces do not collide.
"""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import subprocess
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.keywrap.base import KeyWrap, WrapError

HEADER = "keystead-wrapped-key-1:A256GCM:"
NONCE, KEY = 12, 32
COMMAND_SECONDS = 30


class Kek(KeyWrap):
    """The file holds the key encrypted; `kek` or the output of `command` is 32 bytes in base64."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._kek, self._command = options.get("kek", ""), options.get("command", "")

    def wrap(self, text: str) -> str:
        nonce = os.urandom(NONCE)
        sealed = nonce + AESGCM(self._key()).encrypt(nonce, text.encode(), HEADER.encode())
        return HEADER + base64.b64encode(sealed).decode("ascii")

    def unwrap(self, text: str) -> str:
        if not text.startswith(HEADER):
            raise WrapError("this key is not wrapped: wrap it, or set KEYSTEAD_SEALER_KEY_WRAP back")
        try:
            sealed = base64.b64decode(text.strip().removeprefix(HEADER), validate=True)
            return AESGCM(self._key()).decrypt(sealed[:NONCE], sealed[NONCE:], HEADER.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise WrapError("the key-encryption key does not open this key") from error

    def _key(self) -> bytes:
        text = self._kek or self._asked()
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY:
            raise WrapError("the key-encryption key is not 32 bytes in base64")
        return key

    def _asked(self) -> str:
        if not self._command:
            raise WrapError("no key-encryption key: set KEYSTEAD_SEALER_KEK_FILE or KEYSTEAD_SEALER_KEK_COMMAND")
        try:
            done = subprocess.run(
                shlex.split(self._command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=True,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            # Not chained: its text would hold what the command wrote.
            raise WrapError(f"the command for the key-encryption key failed: {type(error).__name__}") from None
        return done.stdout
