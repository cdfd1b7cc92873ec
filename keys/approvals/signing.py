"""Prepare the statement an approver's passkey signs, and accept the signature once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from audit import clock
from audit.actor import Actor, StepUp
from keys.approvals.facts import request_facts
from keys.approvals.quorum import rules_for
from keys.crypto.assertion import Assertion, verify_challenge
from keys.crypto.errors import AssertionRefused, Malformed
from keys.crypto.statement import ApprovalStatement as Statement
from keys.crypto.statement import challenge_of, new_nonce
from keys.errors import Conflict, Denied, Invalid
from keys.models import ApprovalStatement, KeyRequest, Passkey, TotpDevice
from keys.operations import operation
from keys.people.proofs import clone_of, note_use
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_decide, seats_for

SIGNING_PERIOD = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A statement and the assertion over it, as the browser returned it; trusted only after `check_signature`."""

    nonce: str
    statement: str
    assertion: Assertion

    @property
    def assertion_json(self) -> dict[str, Any]:
        """What is kept so that a third party can verify it."""
        return dict(self.assertion.to_json())


@operation
def prepare_statement(request: KeyRequest, *, decision: str, digest: str, actor: Actor) -> ApprovalStatement:
    """Store the statement that `actor` is about to sign: this decision, this content, once, within five minutes."""
    at = clock.now()
    who = standing_of(actor, at=at)
    facts = request_facts(request, rules=rules_for(request), at=at)
    seats = seats_for(who, facts)
    enforce(may_decide(who, facts, seat=seats[0] if seats else who.person_id))
    ApprovalStatement.objects.filter(person_id=actor.id, request=request, used_at=None).delete()
    expires_at = at + SIGNING_PERIOD
    nonce = new_nonce()
    statement = Statement(
        decision=decision,
        request=str(request.pk),
        content_digest=digest,
        approver=actor.id,
        nonce=nonce,
        expires_at=expires_at,
    )
    return ApprovalStatement.objects.create(
        nonce=nonce,
        person_id=actor.id,
        request=request,
        text=statement.canonical().decode(),
        expires_at=expires_at,
    )


def challenge(statement: ApprovalStatement) -> bytes:
    """The WebAuthn challenge: SHA-256 of the stored bytes."""
    return challenge_of(statement.text.encode())


def read_signature(nonce: str, assertion: object, *, actor: Actor) -> Signature:
    """Join the statement that was prepared for `actor` with what the browser signed."""
    statement = ApprovalStatement.objects.filter(nonce=nonce, person_id=actor.id).first()
    if statement is None:
        raise Invalid.field("signature", "unknown_statement")
    try:
        parsed = Assertion.from_json(assertion)
    except Malformed as malformed:
        raise Invalid.field("signature", "malformed_assertion") from malformed
    return Signature(nonce=nonce, statement=statement.text, assertion=parsed)


def check_signature(
    signature: Signature, *, request: KeyRequest, digest: str, decision: str, actor: Actor, at: datetime
) -> None:
    """Accept the signature if it is this person's, over this decision and content, unexpired and unused."""
    spent = ApprovalStatement.objects.filter(
        nonce=signature.nonce, person_id=actor.id, request=request, used_at=None, expires_at__gt=at
    ).update(used_at=at)
    if not spent:
        raise Conflict("statement_spent_or_expired")
    passkey = _passkey(signature, actor)
    stored = ApprovalStatement.objects.get(nonce=signature.nonce)
    expected = Statement(
        decision=decision,
        request=str(request.pk),
        content_digest=digest,
        approver=actor.id,
        nonce=signature.nonce,
        expires_at=stored.expires_at,
    ).canonical()
    if passkey is None or stored.text.encode() != expected or signature.statement != stored.text:
        raise Conflict("statement_does_not_fit")
    try:
        verified = verify_challenge(
            bytes(passkey.public_key),
            signature.assertion,
            challenge_of(expected),
            rp_id=settings.OTP_WEBAUTHN_RP_ID,
            origins=settings.OTP_WEBAUTHN_ALLOWED_ORIGINS,
        )
    except AssertionRefused as refused:
        raise Invalid.field("signature", "assertion_refused") from refused
    if not note_use(passkey, verified, actor=actor, at=at):
        denied = Denied("passkey_clone_suspected", rule="approve.signature")
        denied.alarm = clone_of(passkey)
        raise denied


def _passkey(signature: Signature, actor: Actor) -> Passkey | None:
    held = Passkey.objects.usable().filter(user_id=actor.id, credential_id=signature.assertion.credential_id)
    return held.select_for_update(no_key=True).first()


def forget_statements(*, before: datetime) -> int:
    """Delete statements that expired before then: unsigned they mean nothing, signed ones stand in their approval."""
    return ApprovalStatement.objects.filter(expires_at__lt=before).delete()[0]


def weight_of(actor: Actor, signature: Signature | None) -> str:
    """How a decision was proved: signed by a passkey, or by a step-up with a passkey or a one-time code."""
    if signature is not None:
        return "passkey"
    step = _step(actor)
    return "presence" if step is not None and step.method == "passkey" else "totp"


def _step(actor: Actor) -> StepUp | None:
    return next((each for each in reversed(actor.auth.step_ups) if each.purpose == "approve"), None)


def factor_may_approve(actor: Actor, signature: Signature | None, *, at: datetime) -> bool:
    """Whether the factor behind this decision is old enough: one set up after a reset approves nothing for 24 hours."""
    if signature is not None:
        passkey = _passkey(signature, actor)
        return passkey is not None and passkey.approves_from is not None and passkey.approves_from <= at
    step = _step(actor)
    if step is None:
        return True  # the missing step-up is refused by its own rule
    if step.method == "passkey":
        return not Passkey.objects.usable().filter(user_id=actor.id, approves_from__gt=at).exists()
    if step.method != "totp":
        return False  # a recovery code opens the door; it decides nothing
    return not TotpDevice.objects.usable().filter(user_id=actor.id, approves_from__gt=at).exists()
