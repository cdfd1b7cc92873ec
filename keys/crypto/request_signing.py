"""Hold what verifies the signatures of one key: a shared secret (HMAC-SHA-256) or a public key (Ed25519, RFC 8032)."""

from __future__ import annotations

import hmac
from binascii import a2b_base64, b2a_base64
from typing import Final, Protocol, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys.crypto import base64url
from keys.crypto.errors import Malformed
from keys.crypto.secrets import Secret

_PUBLIC_KEY_LENGTH: Final = 32
_BEFORE: Final = b"keystead=:"


class RequestKey(Protocol):
    """What can check a signature, as the header Signature writes it: `keystead=:<base64>:`."""

    algorithm: str

    def holds(self, base: bytes, signature: str) -> bool:
        """Whether this key signed `base`."""
        ...


@final
class HmacKey:
    """A shared secret."""

    __slots__ = ("_secret",)
    algorithm = "hmac-sha256"

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def holds(self, base: bytes, signature: str) -> bool:
        """Compare in constant time. Texts are compared, not bytes: another spelling of the same bytes is another text."""
        digest = hmac.digest(self._secret.reveal_bytes(), base, "sha256")
        wanted = _BEFORE + b2a_base64(digest, newline=False) + b":"
        return hmac.compare_digest(wanted, signature.encode("ascii", "replace"))


@final
class PublicKey:
    """An Ed25519 public key."""

    __slots__ = ("_key",)
    algorithm = "ed25519"

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    def holds(self, base: bytes, signature: str) -> bool:
        """Verify; the caller has seen to it that the text is the one spelling of its bytes."""
        try:
            self._key.verify(a2b_base64(signature[len(_BEFORE) : -1]), base)
        except (InvalidSignature, ValueError):
            return False
        return True


def hmac_key(secret: Secret) -> HmacKey:
    """Make the key of a shared secret: its bytes are those of the whole key text."""
    return HmacKey(secret)


def public_key(text: str) -> PublicKey:
    """Make the key of 32 bytes in base64url."""
    raw = base64url.decode(text)
    if len(raw) != _PUBLIC_KEY_LENGTH:
        raise Malformed("public_key_form")
    return PublicKey(Ed25519PublicKey.from_public_bytes(raw))
