"""Authenticate what verifiers tell each other over a place that others can write to, with keys that follow from those of the row MACs.

Every verifier holds the keyring already, and nobody else does: no other secret has to be kept, backed up and rotated. The
domain tag keeps the uses apart (NIST SP 800-108).
"""

from __future__ import annotations

import hmac
from typing import Final

from keys.crypto.keyring import ROW_MAC, Keyring
from keys.crypto.rings import Key

LENGTH: Final = 32
_DOMAIN: Final = b"keystead report between verifiers v1"


def report_mac(content: bytes, keyring: Keyring) -> bytes:
    """Authenticate with the newest key."""
    return _mac(content, keyring.primary(ROW_MAC))


def is_ours(content: bytes, mac: bytes, keyring: Keyring) -> bool:
    """Whether a holder of the keyring wrote this; also with an older key, while a new one is being handed round."""
    return any(hmac.compare_digest(mac, _mac(content, key)) for key in keyring.newest_first(ROW_MAC))


def _mac(content: bytes, key: Key) -> bytes:
    return hmac.digest(hmac.digest(key.secret.reveal_bytes(), _DOMAIN, "sha256"), content, "sha256")
