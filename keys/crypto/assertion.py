"""Verify what a passkey signed over a challenge (W3C WebAuthn Level 3, section 7.2), without a server.

Stands alone: an auditor with the public key of the enrolment event, the kept assertion and the challenge
needs this file, `cose.py`, `base64url.py`, `errors.py` and `cryptography`.
"""

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from keys.crypto import base64url
from keys.crypto.cose import ALGORITHM_NAMES, parse_cose_key
from keys.crypto.errors import AssertionRefused, Malformed, UnknownAlgorithm

_USER_PRESENT: Final = 0x01
_USER_VERIFIED: Final = 0x04
_BACKUP_ELIGIBLE: Final = 0x08
_BACKED_UP: Final = 0x10
_CREDENTIAL_INCLUDED: Final = 0x40
_EXTENSIONS_INCLUDED: Final = 0x80
_HEAD_LENGTH: Final = 37
_LARGEST: Final = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class Assertion:
    """The exact bytes that a browser returned, kept so that a third party can verify them."""

    credential_id: bytes
    client_data_json: bytes
    authenticator_data: bytes
    signature: bytes

    @classmethod
    def from_json(cls, value: object) -> "Assertion":
        """Read what `PublicKeyCredential.toJSON()` gives.

        Other members of it are not used. Malformed otherwise.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("response"), Mapping):
            raise Malformed("assertion_form")
        if value.get("type") != "public-key" or value.get("rawId", value.get("id")) != value.get("id"):
            raise Malformed("assertion_form")
        response = value["response"]
        return cls(
            credential_id=_member(value, "id"),
            client_data_json=_member(response, "clientDataJSON"),
            authenticator_data=_member(response, "authenticatorData"),
            signature=_member(response, "signature"),
        )

    def to_json(self) -> dict[str, object]:
        """Write it in the form that `from_json` reads."""
        return {
            "id": base64url.encode(self.credential_id),
            "type": "public-key",
            "response": {
                "clientDataJSON": base64url.encode(self.client_data_json),
                "authenticatorData": base64url.encode(self.authenticator_data),
                "signature": base64url.encode(self.signature),
            },
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedAssertion:
    """What a verified signature says; a caller compares `sign_count` with the one it knows."""

    algorithm: str
    origin: str
    sign_count: int
    backup_eligible: bool
    backed_up: bool


def verify_challenge(
    public_key: bytes, assertion: Assertion, challenge: bytes, *, rp_id: str, origins: Collection[str]
) -> VerifiedAssertion:
    """Verify presence, user verification, place and signature over exactly this challenge.

    AssertionRefused otherwise.
    """
    origin = _check_client_data(assertion.client_data_json, challenge, origins)
    authenticator_data = assertion.authenticator_data
    flags = _check_authenticator_data(authenticator_data, rp_id)
    try:
        key = parse_cose_key(public_key)
    except (Malformed, UnknownAlgorithm):
        raise AssertionRefused("public_key") from None
    if not key.verifies(assertion.signature, authenticator_data + hashlib.sha256(assertion.client_data_json).digest()):
        raise AssertionRefused("signature")
    return VerifiedAssertion(
        algorithm=ALGORITHM_NAMES[key.algorithm],
        origin=origin,
        sign_count=int.from_bytes(authenticator_data[33:37], "big"),
        backup_eligible=bool(flags & _BACKUP_ELIGIBLE),
        backed_up=bool(flags & _BACKED_UP),
    )


def _check_client_data(client_data_json: bytes, challenge: bytes, origins: Collection[str]) -> str:
    client = _client_data(client_data_json)
    if client.get("type") != "webauthn.get":
        raise AssertionRefused("type")
    try:
        presented = base64url.decode(str(client.get("challenge")))
    except Malformed:
        raise AssertionRefused("challenge") from None
    if len(challenge) < 16 or not hmac.compare_digest(presented, challenge):
        raise AssertionRefused("challenge")
    origin = client.get("origin")
    # A plain str would make `in` a substring test.
    if isinstance(origins, str) or not isinstance(origin, str) or origin not in origins:
        raise AssertionRefused("origin")
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        raise AssertionRefused("cross_origin")
    return origin


def _check_authenticator_data(authenticator_data: bytes, rp_id: str) -> int:
    if not _HEAD_LENGTH <= len(authenticator_data) <= _LARGEST:
        raise AssertionRefused("authenticator_data")
    flags = authenticator_data[32]
    if len(authenticator_data) != _HEAD_LENGTH and not flags & (_CREDENTIAL_INCLUDED | _EXTENSIONS_INCLUDED):
        raise AssertionRefused("authenticator_data")
    if not hmac.compare_digest(authenticator_data[:32], hashlib.sha256(rp_id.encode()).digest()):
        raise AssertionRefused("rp_id")
    if not flags & _USER_PRESENT:
        raise AssertionRefused("user_present")
    # Presence alone is a stolen security key; verification is the second factor inside it.
    if not flags & _USER_VERIFIED:
        raise AssertionRefused("user_verified")
    if flags & _BACKED_UP and not flags & _BACKUP_ELIGIBLE:
        raise AssertionRefused("backup_state")
    return flags


def _client_data(client_data_json: bytes) -> dict[str, object]:
    if len(client_data_json) > _LARGEST:
        raise AssertionRefused("client_data")
    try:
        client = json.loads(client_data_json.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise AssertionRefused("client_data") from None
    if not isinstance(client, dict):
        raise AssertionRefused("client_data")
    return client


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("duplicate name")
    return dict(pairs)


def _member(value: Mapping[str, object], name: str) -> bytes:
    text = value.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= _LARGEST:
        raise Malformed("assertion_form")
    return base64url.decode(text)
