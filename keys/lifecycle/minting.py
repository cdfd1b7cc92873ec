"""Make what a version is known by: a secret whose digest is stored, one that is stored sealed, or the client's public key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keys.crypto.digests import CURRENT_ALGORITHM, digest
from keys.crypto.errors import Malformed
from keys.crypto.key_text import mint
from keys.crypto.public_keys import DIGEST_ALGORITHM, as_pem, digest_of, fingerprint, read_public_key
from keys.crypto.secrets import Secret
from keys.errors import Invalid
from keys.models import KeyVersion, ManagedKey
from keys.sealing import seal_secret
from keys.states import KeyKind


@dataclass(frozen=True, kw_only=True)
class Minted:
    """The columns that a version gets, and the secret, which is in none of them as it is."""

    columns: dict[str, str | bytes]
    secret: Secret | None


def mint_for(version: KeyVersion, *, public_key: str) -> Minted:
    """Mint for the kind of the key. `public_key`: what `read_brought_key` returned."""
    key = version.managed_key
    if key.kind == KeyKind.ED25519:
        named: dict[str, str | bytes] = {"digest": digest_of(public_key), "digest_algorithm": DIGEST_ALGORITHM}
        return Minted(columns={**named, "last4": public_key[-4:], "public_key": public_key}, secret=None)
    text = mint(key.environment.tag, kid=version.kid)
    columns: dict[str, str | bytes] = {
        "digest": digest(text.secret),
        "digest_algorithm": CURRENT_ALGORITHM,
        "last4": text.last4,
    }
    if key.kind == KeyKind.HMAC_SHA256:
        # Whoever checks such signatures needs the secret itself, so it is kept, sealed; its digest finds it when it leaks.
        columns["sealed_secret"] = seal_secret(version, text.secret)
    return Minted(columns=columns, secret=text.secret)


def read_brought_key(version: KeyVersion, versions: Sequence[KeyVersion], text: str) -> str:
    """Read the public key for `version` of a key pair; empty for every other kind. Invalid when it may not be this one."""
    key = version.managed_key
    if key.kind != KeyKind.ED25519:
        if text.strip():
            raise Invalid.field("public_key", "no_public_key_here")
        return ""
    used = {each.public_key for each in versions}
    approved = approved_key(key, versions)
    if not text.strip() and not approved:
        raise Invalid.field("public_key", "required")
    try:
        brought = read_public_key(text) if text.strip() else approved
    except Malformed as malformed:
        raise Invalid.field("public_key", malformed.code) from None
    if approved and brought != approved:
        raise Invalid.field("public_key", "not_the_approved_key")
    if brought in used:
        raise Invalid.field("public_key", "public_key_used")  # a new version with the old key would replace nothing
    return brought


@dataclass(frozen=True, kw_only=True)
class ShownKey:
    """A public key as people compare it and programs read it."""

    fingerprint: str
    pem: str


def shown_key(public_key: str) -> ShownKey | None:
    """How a stored public key is shown; None for a key that has none."""
    return ShownKey(fingerprint=fingerprint(public_key), pem=as_pem(public_key)) if public_key else None


def approved_key(key: ManagedKey, versions: Sequence[KeyVersion]) -> str:
    """The public key that the approvers saw, while no version has it yet; the ones after it bring their own."""
    return "" if key.public_key in {each.public_key for each in versions} else key.public_key
