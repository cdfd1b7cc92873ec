"""Seal values that must be readable again: AES-256-GCM under a data key of their own, which a KEK wraps.

A sealed text names everything that made it: `ks1$A256GCM$<wrap algorithm>$<KEK id>$<wrapped data
key>$<nonce>$<ciphertext>`. The context (table, id, version, environment) is authenticated and not stored, so
a ciphertext moved to another row does not open.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.crypto import base64url
from keys.crypto.errors import IntegrityFailed, Malformed, UnknownAlgorithm
from keys.crypto.framing import frame, frame_mapping
from keys.crypto.keks.base import KEK_CLASSES, KEK_ID_PATTERN
from keys.crypto.keyring import Keyring
from keys.crypto.secrets import Secret

FORMAT: Final = "ks1"
ALGORITHM: Final = "A256GCM"
REQUIRED_CONTEXT: Final = frozenset({"table", "id", "environment"})
_DOMAIN: Final = "keystead envelope v1"
_DATA_KEY_LENGTH: Final = 32
_NONCE_LENGTH: Final = 12
_TAG_LENGTH: Final = 16
_LARGEST: Final = 64 * 1024
_CLASS_OF_TAG: Final = {"dev": "development", "test": "test", "prod": "production"} | {
    name: name for name in KEK_CLASSES
}
_WRAP_ALGORITHM: Final = re.compile(r"[A-Za-z0-9-]{1,32}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sealed:
    wrap_algorithm: str
    kek_id: str
    wrapped: bytes
    nonce: bytes
    ciphertext: bytes

    def text(self) -> str:
        binary = [base64url.encode(part) for part in (self.wrapped, self.nonce, self.ciphertext)]
        return "$".join([FORMAT, ALGORITHM, self.wrap_algorithm, self.kek_id, *binary])


def seal(plaintext: bytes, *, context: Mapping[str, str], keyring: Keyring) -> str:
    """Seal bytes for one place: `context` needs `table`, `id` and `environment` (a tag, a class, or `people`)."""
    kek_class = _kek_class(context)
    if not 0 < len(plaintext) <= _LARGEST:
        del plaintext
        raise ValueError("a sealed value has between 1 byte and 64 KiB")
    kek_id = keyring.keks.primary_id(kek_class)
    data_key = os.urandom(_DATA_KEY_LENGTH)
    nonce = os.urandom(_NONCE_LENGTH)
    return _Sealed(
        wrap_algorithm=keyring.keks.algorithm,
        kek_id=kek_id,
        wrapped=keyring.keks.wrap(data_key, kek_class=kek_class, kek_id=kek_id, context=context),
        nonce=nonce,
        ciphertext=AESGCM(data_key).encrypt(nonce, plaintext, _associated(context)),
    ).text()


def open_sealed(sealed: str, *, context: Mapping[str, str], keyring: Keyring) -> Secret:
    """Open a sealed text in its own context; Malformed, UnknownAlgorithm, UnknownKey or IntegrityFailed otherwise."""
    parts = _parse(sealed)
    opened = _decrypt(parts, _unwrap(parts, context, keyring), context)
    if opened is None:
        raise IntegrityFailed("the sealed value was changed or belongs elsewhere")
    return opened


def newest_wrappings(keyring: Keyring) -> tuple[str, ...]:
    """Return how every sealed text begins whose data key is under the KEK of new writes, for each class of KEKs."""
    keks = keyring.keks
    return tuple("$".join([FORMAT, ALGORITHM, keks.algorithm, keks.primary_id(name), ""]) for name in KEK_CLASSES)


def rewrap(sealed: str, *, context: Mapping[str, str], keyring: Keyring) -> str:
    """Wrap the data key under the newest KEK; the ciphertext stays as it is. Safe to repeat."""
    parts = _parse(sealed)
    kek_class = _kek_class(context)
    kek_id = keyring.keks.primary_id(kek_class)
    # Opened once before it is written again: a broken value must not leave here looking fresh.
    data_key = _unwrap(parts, context, keyring)
    if _decrypt(parts, data_key, context) is None:
        raise IntegrityFailed("the sealed value was changed or belongs elsewhere")
    return _Sealed(
        wrap_algorithm=keyring.keks.algorithm,
        kek_id=kek_id,
        wrapped=keyring.keks.wrap(data_key.reveal_bytes(), kek_class=kek_class, kek_id=kek_id, context=context),
        nonce=parts.nonce,
        ciphertext=parts.ciphertext,
    ).text()


def kek_id_of(sealed: str) -> str:
    """Return the id of the KEK that a sealed text names."""
    return _parse(sealed).kek_id


def _kek_class(context: Mapping[str, str]) -> str:
    missing = REQUIRED_CONTEXT - set(context)
    if missing:
        raise ValueError("the context of a sealed value lacks " + ", ".join(sorted(missing)))
    kek_class = _CLASS_OF_TAG.get(context["environment"])
    if kek_class is None:
        raise ValueError("the context names no known environment")
    return kek_class


def _associated(context: Mapping[str, str]) -> bytes:
    return frame([_DOMAIN, ALGORITHM]) + frame_mapping(context)


def _parse(sealed: str) -> _Sealed:
    parts = sealed.split("$")
    if len(parts) != 7 or parts[0] != FORMAT:
        raise Malformed("sealed_form")
    if parts[1] != ALGORITHM:
        raise UnknownAlgorithm("no such sealing algorithm")
    if not _WRAP_ALGORITHM.fullmatch(parts[2]) or not KEK_ID_PATTERN.fullmatch(parts[3]):
        raise Malformed("sealed_form")
    wrapped, nonce, ciphertext = (base64url.decode(part) for part in parts[4:])
    if len(nonce) != _NONCE_LENGTH or len(ciphertext) <= _TAG_LENGTH:
        raise Malformed("sealed_form")
    return _Sealed(wrap_algorithm=parts[2], kek_id=parts[3], wrapped=wrapped, nonce=nonce, ciphertext=ciphertext)


def _unwrap(parts: _Sealed, context: Mapping[str, str], keyring: Keyring) -> Secret:
    kek_class = _kek_class(context)
    if parts.wrap_algorithm != keyring.keks.algorithm:
        raise UnknownAlgorithm("the KEK provider did not make this wrapping")
    data_key = Secret(keyring.keks.unwrap(parts.wrapped, kek_class=kek_class, kek_id=parts.kek_id, context=context))
    if len(data_key.reveal_bytes()) != _DATA_KEY_LENGTH:
        raise IntegrityFailed("the wrapped data key has the wrong length")
    return data_key


def _decrypt(parts: _Sealed, data_key: Secret, context: Mapping[str, str]) -> Secret | None:
    try:
        return Secret(AESGCM(data_key.reveal_bytes()).decrypt(parts.nonce, parts.ciphertext, _associated(context)))
    except InvalidTag:
        return None
