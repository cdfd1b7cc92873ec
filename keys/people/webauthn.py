"""Speak WebAuthn: options for the browser, and what a new credential or an assertion must satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django_otp_webauthn.models import as_credential_descriptors
from webauthn import generate_authentication_options, generate_registration_options, verify_registration_response
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from audit.canonical import CanonicalError, parse_strict
from keys.crypto.assertion import Assertion
from keys.crypto.cose import parse_cose_key
from keys.crypto.errors import Malformed, UnknownAlgorithm
from keys.errors import Invalid
from keys.models import Passkey, Person

CHALLENGE_LENGTH = 32
TIMEOUT_MS = 120_000
LONGEST_ANSWER = 32 * 1024
_ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_TRANSPORTS = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal", "cable"})


@dataclass(frozen=True, kw_only=True)
class NewCredential:
    """A credential whose registration was verified."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: str
    transports: tuple[str, ...]
    backup_eligible: bool
    backed_up: bool
    discoverable: bool | None


def registration_options(person: Person, challenge: bytes) -> dict[str, Any]:
    """Return what `navigator.credentials.create()` needs (Any: JSON). The user handle is the random id of the row."""
    options = generate_registration_options(
        rp_id=settings.OTP_WEBAUTHN_RP_ID,
        rp_name=settings.OTP_WEBAUTHN_RP_NAME,
        user_id=person.pk.bytes,
        user_name=person.email,
        user_display_name=person.name,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=as_credential_descriptors(Passkey.objects.usable().filter(user=person)),
        supported_pub_key_algs=_ALGORITHMS,
    )
    return {**options_to_json_dict(options), "extensions": {"credProps": True}}


def assertion_options(person: Person, challenge: bytes) -> dict[str, Any]:
    """Return what `navigator.credentials.get()` needs (Any: JSON)."""
    options = generate_authentication_options(
        rp_id=settings.OTP_WEBAUTHN_RP_ID,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=as_credential_descriptors(Passkey.objects.usable().filter(user=person)),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def read_registration(answer: str, challenge: bytes) -> NewCredential:
    """Verify what the browser answered to `registration_options`; Invalid for anything else."""
    parsed = _json_object(answer)
    try:
        verified = verify_registration_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=settings.OTP_WEBAUTHN_RP_ID,
            expected_origin=list(settings.OTP_WEBAUTHN_ALLOWED_ORIGINS),
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
        # The same reader verifies approvals later, also without this service.
        parse_cose_key(verified.credential_public_key)
    except (WebAuthnException, Malformed, UnknownAlgorithm, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid.field("passkey", "passkey_refused") from error
    if len(verified.credential_id) > 1023:
        raise Invalid.field("passkey", "passkey_refused")
    response = parsed.get("response")
    return NewCredential(
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        aaguid=verified.aaguid,
        transports=_transports(response.get("transports") if isinstance(response, dict) else None),
        backup_eligible=verified.credential_device_type.value == "multi_device",
        backed_up=verified.credential_backed_up,
        discoverable=_discoverable(parsed.get("clientExtensionResults")),
    )


def read_assertion(answer: str) -> Assertion:
    """Read what the browser answered to `assertion_options`; Invalid when it has another form."""
    try:
        return Assertion.from_json(_json_object(answer))
    except Malformed as error:
        raise Invalid.field("passkey", "passkey_refused") from error


def _json_object(answer: str) -> dict[str, Any]:
    if not 0 < len(answer) <= LONGEST_ANSWER:
        raise Invalid.field("passkey", "passkey_refused")
    try:
        parsed = parse_strict(answer.encode("utf-8"))
    except (CanonicalError, UnicodeEncodeError) as error:
        raise Invalid.field("passkey", "passkey_refused") from error
    if not isinstance(parsed, dict):
        raise Invalid.field("passkey", "passkey_refused")
    return parsed


def _transports(claimed: object) -> tuple[str, ...]:
    if not isinstance(claimed, Sequence) or isinstance(claimed, str):
        return ()
    return tuple(sorted({each for each in claimed if isinstance(each, str)} & _TRANSPORTS))


def _discoverable(extensions: object) -> bool | None:
    properties = extensions.get("credProps") if isinstance(extensions, dict) else None
    claimed = properties.get("rk") if isinstance(properties, dict) else None
    return claimed if isinstance(claimed, bool) else None
