"""Keep what verifies the signatures of versions ready: opening a sealed secret for each request would cost more than all else."""

from __future__ import annotations

from typing import Final

from keys.crypto.errors import CryptoError
from keys.crypto.keyring import Keyring
from keys.crypto.request_signing import RequestKey, hmac_key, public_key
from keys.crypto.row_mac import VersionFields
from keys.sealing import keyring, open_secret
from keys.states import KeyKind
from keys.verification.lookup import Found
from keys.verification.verifier import is_intact

MOST: Final = 50_000
_Ready = dict[str, tuple[VersionFields, str, RequestKey | None, bool]]


class SigningKeys:
    """What was opened, for rows and a keyring that have not changed since."""

    def __init__(self) -> None:
        # One value: what one thread judges by a former keyring must not get among what others judged by the next.
        self._ready: tuple[Keyring | None, _Ready] = (None, {})

    def of(self, found: Found | None) -> tuple[RequestKey | None, bool]:
        """The key of a version, None when it has none that opens; and whether its row is what an operation wrote.

        Who names the kid of nobody waits for the keyring as well: a look at its file takes long enough to tell the two apart.
        """
        now = keyring()
        if found is None:
            return None, False
        fields = found.fields
        judged_by, all_ready = self._ready
        if judged_by is not now:
            self._ready = now, (all_ready := {})
        ready = all_ready.get(fields.kid)
        if ready is not None and ready[1] == found.row_mac and (ready[0] is fields or ready[0] == fields):
            return ready[2], ready[3]
        if len(all_ready) >= MOST:
            all_ready.clear()
        key, intact = _key_of(found), is_intact(found, now)
        all_ready[fields.kid] = (fields, found.row_mac, key, intact)
        return key, intact


def _key_of(found: Found) -> RequestKey | None:
    fields = found.fields
    try:
        if fields.kind == KeyKind.ED25519 and fields.public_key:
            return public_key(fields.public_key)
        if fields.kind == KeyKind.HMAC_SHA256 and fields.sealed_secret:
            secret = open_secret(
                fields.sealed_secret, version_id=found.version_id, kid=fields.kid, environment=fields.environment
            )
            return hmac_key(secret)
    except CryptoError:
        return None
    return None


signing_keys: Final = SigningKeys()
