"""Give people of the tests passkeys, and let them sign their decisions."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from audit import clock
from audit.actor import Actor
from keys.approvals.signing import Signature, challenge, prepare_statement, read_signature
from keys.events import PasskeyEnrolled
from keys.models import KeyRequest, Passkey, Person
from keys.operations import insert, operation
from keys.people.webauthn import read_registration
from tests.authenticator import SoftAuthenticator
from tests.authenticator import text as base64url
from tests.people import acting


def passkey_of(person: Person, algorithm: str = "ES256") -> SoftAuthenticator:
    """Enrol a passkey for `person`; the first factor, as right after an invitation."""
    device = SoftAuthenticator(algorithm=algorithm)
    credential = read_registration(device.create({"challenge": base64url(b"c" * 32)}), b"c" * 32)
    _enrol(person, credential=credential, actor=acting(person, "factors"))
    return device


@operation
def _enrol(person: Person, *, credential: Any, actor: Actor) -> Passkey:
    at = clock.now()
    row = Passkey(
        user=person, name="key", confirmed=True, credential_id=credential.credential_id, public_key=credential.public_key,
        sign_count=0, created_at=at, transports=[], backup_eligible=False, backup_state=False, approves_from=at,
        credential_id_sha256=Passkey.get_credential_id_sha256(credential.credential_id),
    )  # fmt: skip
    person_id = str(person.pk)
    return insert(row, PasskeyEnrolled, actor=actor, at=at, person=person_id, rp_id=settings.OTP_WEBAUTHN_RP_ID)


def signed(
    request: KeyRequest, person: Person, device: SoftAuthenticator, *, decision: str = "approve", digest: str = ""
) -> Signature:
    """Sign a decision about the request as it is, or about the content with another digest."""
    actor = acting(person)
    statement = prepare_statement(request, decision=decision, digest=digest or request.digest, actor=actor)
    answer = device.get({"challenge": base64url(challenge(statement))})
    return read_signature(statement.nonce, json.loads(answer), actor=actor)
