"""Sign what verifiers outside take into their memory, with keys that follow from those of the row MACs.

A snapshot says the same as the rows whose MACs were checked when it was made, so it is as good as their key and no better:
no other secret has to be kept, backed up and rotated. The domain tag keeps the two uses apart (NIST SP 800-108).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.crypto import base64url
from keys.crypto.keyring import ROW_MAC, Keyring
from keys.crypto.rings import Key

PREFIX: Final = "snap-"
_DOMAIN: Final = b"keystead snapshot signing key v1"


def sign(message: bytes, keyring: Keyring) -> tuple[str, bytes]:
    """Sign with the newest key; returns its id and the signature."""
    key = keyring.primary(ROW_MAC)
    return PREFIX + key.id, _private(key).sign(message)


def public_keys(keyring: Keyring) -> Iterator[dict[str, str]]:
    """Every key that may have signed what is still in use, as JWKs (RFC 8037), newest first."""
    for key in keyring.newest_first(ROW_MAC):
        public = _private(key).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        yield {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": PREFIX + key.id,
            "x": base64url.encode(public),
        }


def _private(key: Key) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hmac.digest(key.secret.reveal_bytes(), _DOMAIN, "sha256"))
