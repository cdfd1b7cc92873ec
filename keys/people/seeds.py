"""Seal the seed of an authenticator app for its row, and open it for one check."""

from __future__ import annotations

from uuid import UUID

from keys.crypto.envelope import open_sealed, rewrap, seal
from keys.crypto.secrets import Secret
from keys.models import TotpDevice
from keys.sealing import keyring


def _context(device_id: UUID, person_id: UUID) -> dict[str, str]:
    return {"table": "keys_totpdevice", "id": str(device_id), "environment": "people", "person": str(person_id)}


def seal_seed(seed: Secret, *, device_id: UUID, person_id: UUID) -> str:
    """Seal a seed so that it opens in this device's row of this person only."""
    return seal(seed.reveal_bytes(), context=_context(device_id, person_id), keyring=keyring())


def open_seed(sealed: str, *, device_id: UUID, person_id: UUID) -> Secret:
    """Open a seed; IntegrityFailed when it was moved or changed."""
    return open_sealed(sealed, context=_context(device_id, person_id), keyring=keyring())


def rewritten(device: TotpDevice) -> dict[str, str]:
    """The seed of a device under the newest key-encryption key; CryptoError when it does not open."""
    context = _context(device.pk, device.user_id)
    return {"sealed_seed": rewrap(device.sealed_seed, context=context, keyring=keyring())}
