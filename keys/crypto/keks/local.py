"""Wrap data keys with AES-256-GCM under the KEKs of the keyring file."""

import os
from collections.abc import Mapping
from typing import ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.crypto.errors import IntegrityFailed, UnknownKey
from keys.crypto.framing import frame, frame_mapping
from keys.crypto.keks.base import KekProvider
from keys.crypto.rings import Ring

_NONCE_LENGTH: Final = 12
_DOMAIN: Final = "keystead kek wrap v1"


class LocalKeks(KekProvider):
    """KEKs that live in this process. NIST SP 800-38D allows 2**32 wraps a key with random nonces.

    Rotate long before.
    """

    algorithm: ClassVar[str] = "A256GCMKW"

    def __init__(self, *, rings: Mapping[str, Ring], options: Mapping[str, str]) -> None:
        if options:
            raise ValueError("the local KEK provider takes no options")
        self._rings = dict(rings)

    def primary_id(self, kek_class: str) -> str:
        """Return the primary of the class's ring."""
        return self._ring(kek_class).primary_id

    def wrap(self, data_key: bytes, *, kek_class: str, kek_id: str, context: Mapping[str, str]) -> bytes:
        """Return nonce and ciphertext; the KEK's id and the context are authenticated."""
        nonce = os.urandom(_NONCE_LENGTH)
        return nonce + self._cipher(kek_class, kek_id).encrypt(nonce, data_key, _associated(kek_class, kek_id, context))

    def unwrap(self, wrapped: bytes, *, kek_class: str, kek_id: str, context: Mapping[str, str]) -> bytes:
        """Open what `wrap` made."""
        nonce, sealed = wrapped[:_NONCE_LENGTH], wrapped[_NONCE_LENGTH:]
        cipher = self._cipher(kek_class, kek_id)
        try:
            return cipher.decrypt(nonce, sealed, _associated(kek_class, kek_id, context))
        except (InvalidTag, ValueError):
            raise IntegrityFailed("the data key was not wrapped by this key for this context") from None

    def _ring(self, kek_class: str) -> Ring:
        ring = self._rings.get(kek_class)
        if ring is None:
            raise UnknownKey("the keyring has no KEK for that environment class")
        return ring

    def _cipher(self, kek_class: str, kek_id: str) -> AESGCM:
        return AESGCM(self._ring(kek_class).find(kek_id).secret.reveal_bytes())


def _associated(kek_class: str, kek_id: str, context: Mapping[str, str]) -> bytes:
    return frame([_DOMAIN, kek_class, kek_id]) + frame_mapping(context)
