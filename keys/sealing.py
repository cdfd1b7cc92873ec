"""Join rows to the keyring: the row MAC of a version, and values that are stored sealed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import UUID

from django.conf import settings

from keys.crypto.keyring import Keyring
from keys.crypto.row_mac import VersionFields, row_mac, verify_row_mac
from keys.models import KeyVersion


@cache
def _load(path: Path) -> Keyring:
    return Keyring.load(path)


def keyring() -> Keyring:
    """The keyring of this installation, read once a process."""
    return _load(Path(settings.KEYSTEAD_KEYRING_FILE))


def version_fields(version: KeyVersion) -> VersionFields:
    """The security columns of a version and of its key. Needs the key, its service and environment."""
    key = version.managed_key
    return VersionFields(
        kid=version.kid,
        key_id=str(key.pk),
        kind=key.kind,
        digest=bytes(version.digest) if version.digest is not None else None,
        digest_algorithm=version.digest_algorithm,
        public_key=version.public_key,
        sealed_secret=version.sealed_secret,
        service=str(key.service_id),
        environment=key.environment.tag,
        verifies=verifies_of(key.verifies_service_id, key.verifies_environment_id),
        scopes=tuple(key.scopes),
        networks=tuple(key.networks),
        state=str(version.state),
        activated_at=version.activated_at,
        expires_at=version.expires_at,
        retire_at=version.retire_at,
        authorised_until=key.authorised_until,
        sequence=version.sequence,
    )


def verifies_of(service_id: UUID | None, environment_id: UUID | None) -> tuple[str, ...]:
    """What a verifying key may ask about, as its row MAC covers it."""
    return () if service_id is None and environment_id is None else (str(service_id), str(environment_id))


def mac_of(version: KeyVersion) -> str:
    """The row MAC that fits the version as it is in memory now."""
    return row_mac(version_fields(version), keyring())


def mac_holds(version: KeyVersion) -> bool:
    """Whether the row is what an operation last wrote."""
    return verify_row_mac(version_fields(version), version.row_mac, keyring())
