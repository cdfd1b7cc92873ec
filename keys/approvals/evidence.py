"""Verify again, long after the decision, that an approver's passkey signed exactly it: from the log, as an outsider would."""

from __future__ import annotations

import json
from enum import StrEnum

from django.conf import settings

from audit.events import Outcome
from audit.models import AuditEvent
from keys.crypto.assertion import Assertion, verify_challenge
from keys.crypto.errors import AssertionRefused, Malformed
from keys.crypto.statement import challenge_of
from keys.events import PasskeyEnrolled
from keys.models import Approval, Passkey


class SignatureState(StrEnum):
    """What can be said of the signature under a decision."""

    UNSIGNED = "unsigned"  # decided with a code of an authenticator app: recorded, and weaker
    VERIFIED = "verified"
    KEY_UNKNOWN = "key-unknown"
    REFUSED = "refused"


def signature_state(approval: Approval) -> SignatureState:
    """Check the kept assertion with the public key of the passkey's enrolment event, never with that of its row."""
    if approval.assertion is None:
        return SignatureState.UNSIGNED
    try:
        assertion = Assertion.from_json(approval.assertion)
    except Malformed:
        return SignatureState.REFUSED
    public_key = _enrolled_key(assertion.credential_id, person_id=str(approval.person_id))
    if public_key is None:
        return SignatureState.KEY_UNKNOWN
    if not _tells_of(approval):
        return SignatureState.REFUSED
    try:
        verify_challenge(
            public_key,
            assertion,
            challenge_of(approval.statement.encode()),
            rp_id=settings.OTP_WEBAUTHN_RP_ID,
            origins=settings.OTP_WEBAUTHN_ALLOWED_ORIGINS,
        )
    except AssertionRefused:
        return SignatureState.REFUSED
    return SignatureState.VERIFIED


def _tells_of(approval: Approval) -> bool:
    """Whether the signed words are about this decision of this person on this content."""
    try:
        said = json.loads(approval.statement)
    except ValueError:
        return False
    return isinstance(said, dict) and (
        said.get("decision"),
        said.get("request"),
        said.get("approver"),
        said.get("content_digest"),
    ) == (
        approval.decision,
        str(approval.request_id),
        str(approval.person_id),
        {"alg": "sha-256", "hex": approval.digest},
    )


def _enrolled_key(credential_id: bytes, *, person_id: str) -> bytes | None:
    passkey = Passkey.objects.filter(credential_id=credential_id, user_id=person_id).values_list("pk", flat=True)
    enrolled = (
        AuditEvent.objects.with_action(PasskeyEnrolled.action)
        .filter(target_type=PasskeyEnrolled.target_type, target_id__in=[str(pk) for pk in passkey])
        .with_outcome(Outcome.SUCCESS)
        .first()
    )
    if enrolled is None:
        return None
    change = enrolled.envelope().get("change")
    told = change.get("public_key") if isinstance(change, dict) else None
    written = told[1] if isinstance(told, list) and len(told) == 2 else None
    return bytes.fromhex(written.removeprefix("\\x")) if isinstance(written, str) else None
