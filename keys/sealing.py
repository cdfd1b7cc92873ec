"""Join rows to the keyring: the row MAC of a version, and values that are stored sealed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from uuid import UUID

from django.conf import settings

from keys.crypto.envelope import open_sealed, rewrap, seal
from keys.crypto.errors import IntegrityFailed, UnknownKey
from keys.crypto.keyring import Keyring
from keys.crypto.keyring_file import KeyringFile
from keys.crypto.row_mac import VersionFields, row_mac, verify_row_mac
from keys.crypto.secrets import Secret
from keys.models import KeyVersion


@cache
def _file(path: str, keks: str) -> KeyringFile:
    return KeyringFile(Path(path), keks=keks)


def keyring() -> Keyring:
    """The keyring of this installation as its file is now. Whoever does two things that have to agree asks once."""
    return _file(str(settings.KEYSTEAD_KEYRING_FILE), settings.KEYSTEAD_KEKS).read()


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


def seal_secret(version: KeyVersion, secret: Secret) -> str:
    """Seal the shared secret of a version that signs, for its own row and no other."""
    context = _context(version.pk, version.kid, version.managed_key.environment.tag)
    return seal(secret.reveal_bytes(), context=context, keyring=keyring())


def open_secret(sealed: str, *, version_id: UUID, kid: str, environment: str) -> Secret:
    """Open such a secret. CryptoError when it was changed, belongs elsewhere, or no key of the keyring opens it."""
    return open_sealed(sealed, context=_context(version_id, kid, environment), keyring=keyring())


def _context(version_id: UUID, kid: str, environment: str) -> dict[str, str]:
    return {"table": "keys_keyversion", "id": str(version_id), "kid": kid, "environment": environment}


def mac_of(version: KeyVersion) -> str:
    """The row MAC that fits the version as it is in memory now."""
    return row_mac(version_fields(version), keyring())


def mac_holds(version: KeyVersion) -> bool:
    """Whether the row is what an operation last wrote."""
    return verify_row_mac(version_fields(version), version.row_mac, keyring())


def rewritten(version: KeyVersion) -> dict[str, str]:
    """What the newest keys make of a version that is what an operation last wrote; CryptoError of any other, which stays as it is."""
    fields = version_fields(version)
    if not verify_row_mac(fields, version.row_mac, keyring()):
        raise IntegrityFailed("the row is not what an operation wrote")
    sealed = version.sealed_secret
    if sealed:
        context = _context(version.pk, version.kid, version.managed_key.environment.tag)
        with suppress(UnknownKey):  # what sealed it is gone, and the secret lost; but nobody has changed the row
            sealed = rewrap(sealed, context=context, keyring=keyring())
    return {"sealed_secret": sealed, "row_mac": row_mac(replace(fields, sealed_secret=sealed), keyring())}
