"""Authenticate the security columns of a row, above all of a key version, with a key that the database does not hold.

A row changed by SQL no longer fits its MAC and does not verify. An earlier valid row put back does fit: that
is found by comparing `sequence` with the row's last audit event.
"""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from keys.crypto.errors import UnknownKey
from keys.crypto.framing import Frameable, frame
from keys.crypto.keyring import ROW_MAC, Keyring

ALGORITHM: Final = "hmac-sha256"
_DOMAIN: Final = "keystead row mac v1"
_FORM: Final = re.compile(r"hmac-sha256:([a-z0-9][a-z0-9-]{2,62}):([0-9a-f]{64})", re.ASCII)


class Columns(Protocol):
    """Columns that have one way to be written as bytes, which begins with a domain of its own."""

    def canonical(self) -> bytes:
        """Write every column with its name."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionFields:
    """The columns of a version that decide whether a presented key is accepted, and for what."""

    kid: str
    key_id: str
    kind: str
    digest: bytes | None
    digest_algorithm: str
    # What verifies signatures: a public key, or a shared secret as it is stored, sealed. Both empty for a bearer key.
    public_key: str
    sealed_secret: str
    service: str
    environment: str
    # Which service and environment a verifying key may ask about; empty for every other key.
    verifies: tuple[str, ...]
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    state: str
    activated_at: datetime | None
    expires_at: datetime | None
    retire_at: datetime | None
    authorised_until: datetime | None
    sequence: int

    def canonical(self) -> bytes:
        """Write every column with its name; scopes and networks are sets, so their order does not count."""
        columns: tuple[tuple[str, Frameable], ...] = (
            ("kid", self.kid),
            ("key_id", self.key_id),
            ("kind", self.kind),
            ("digest", self.digest),
            ("digest_algorithm", self.digest_algorithm),
            ("public_key", self.public_key),
            ("sealed_secret", self.sealed_secret),
            ("service", self.service),
            ("environment", self.environment),
            ("verifies", self.verifies),
            ("scopes", tuple(sorted(set(self.scopes)))),
            ("networks", tuple(sorted(set(self.networks)))),
            ("state", self.state),
            ("activated_at", self.activated_at),
            ("expires_at", self.expires_at),
            ("retire_at", self.retire_at),
            ("authorised_until", self.authorised_until),
            ("sequence", self.sequence),
        )
        return frame([_DOMAIN, *(part for column in columns for part in column)])


def row_mac(fields: Columns, keyring: Keyring) -> str:
    """Return `hmac-sha256:<key id>:<hex>` under the newest key."""
    key = keyring.primary(ROW_MAC)
    return f"{ALGORITHM}:{key.id}:{_mac(key.secret.reveal_bytes(), fields).hex()}"


def verify_row_mac(fields: Columns, mac: str, keyring: Keyring) -> bool:
    """Say whether these columns are the ones that were authenticated.

    A missing, odd or unknown MAC is a plain no, and so are columns that have no bytes: no operation wrote a scope that is none.
    """
    match = _FORM.fullmatch(mac)
    if match is None:
        return False
    try:
        key = keyring.find(ROW_MAC, match[1])
        found = _mac(key.secret.reveal_bytes(), fields)
    except (UnknownKey, TypeError, AttributeError, ValueError):
        return False
    return hmac.compare_digest(found, bytes.fromhex(match[2]))


def newest_mac(keyring: Keyring) -> str:
    """Return how every MAC begins that the key of new writes made."""
    return f"{ALGORITHM}:{keyring.primary(ROW_MAC).id}:"


def _mac(key: bytes, fields: Columns) -> bytes:
    return hmac.digest(key, fields.canonical(), "sha256")
