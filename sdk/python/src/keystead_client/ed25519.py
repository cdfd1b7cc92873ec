"""Sign and verify with Ed25519 (RFC 8032); the one place that needs the optional package `cryptography`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from keystead_client.errors import IntegrityError, MissingExtra, Unsafe

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    HAS_ED25519: Final = True
except ImportError:  # pragma: no cover - the extra is installed where tests run
    HAS_ED25519 = False  # type: ignore[misc]

_KEY_LENGTH: Final = 32


class PublicKey(Protocol):
    """What checks signatures, also where the package is not installed and there is none."""

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Pass, or raise."""
        ...


def need_ed25519() -> None:
    """Say what to install."""
    if not HAS_ED25519:
        raise MissingExtra("Ed25519 needs one more package: pip install 'keystead-client[ed25519]'")


@lru_cache(maxsize=64)  # the few that Keystead signs with
def public_key(x: str) -> Ed25519PublicKey:
    """Read the `x` of a JSON Web Key (RFC 8037)."""
    need_ed25519()
    try:
        return key_of(raw_key(x))
    except ValueError:
        raise IntegrityError("this is no Ed25519 public key") from None


def raw_key(x: str) -> bytes:
    """Read the 32 bytes of a public key."""
    raw = from_base64url(x)
    if len(raw) != _KEY_LENGTH:
        raise IntegrityError("this is no Ed25519 public key")
    return raw


def signer_of(private_key_pem: bytes | str) -> Callable[[bytes], bytes]:
    """Return what signs with a private key in PEM (PKCS#8, not encrypted)."""
    need_ed25519()
    pem = private_key_pem.encode() if isinstance(private_key_pem, str) else private_key_pem
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise Unsafe("this private key is not an Ed25519 key")
    return key.sign


def key_of(raw: bytes) -> Ed25519PublicKey:
    """Make the key of 32 bytes."""
    return Ed25519PublicKey.from_public_bytes(raw)


def fits(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the key signed the message."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def check(key: PublicKey, signature: bytes, message: bytes) -> None:
    """Pass, or raise IntegrityError."""
    if not fits(key, signature, message):
        raise IntegrityError("the signature does not fit")


def from_base64url(text: str) -> bytes:
    """Read unpadded base64url in its one spelling; anything else is refused, so that no two texts mean the same bytes."""
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise IntegrityError("not base64url") from None
    if base64.urlsafe_b64encode(value).rstrip(b"=").decode() != text:
        raise IntegrityError("not base64url in its one spelling")
    return value
