"""Check a proof of presence: a code, a passkey's signature or a recovery code, under one lock a person.

A wrong proof is counted and committed, so these operations answer with a Refusal instead of raising. They count only
what comes after a right password or in a signed-in session; nobody locks a colleague out (ASVS 5.0, 6.3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from audit import clock
from audit.actor import Actor
from audit.log import record
from keys.crypto import otp
from keys.crypto.assertion import Assertion, VerifiedAssertion, verify_challenge
from keys.crypto.errors import AssertionRefused, CryptoError, Malformed
from keys.crypto.recovery_codes import canonical_recovery_code
from keys.crypto.slow_hash import slow_hash_matches
from keys.errors import Invalid
from keys.events import PasskeyCloneSuspected, PasswordRefused, RecoveryCodeUsed, TotpSeedUnreadable
from keys.models import FactorTries, Passkey, Person, RecoveryCode, TotpDevice
from keys.operations import operation
from keys.people.seeds import open_seed
from keys.people.tries import count_failure, forget_tries, is_closed, locked_tries
from keys.people.webauthn import read_assertion
from keys.policy.people_rules import may_prove
from keys.sealing import keyring

MOST_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was proved. `device` names the factor; `assertion` is what a passkey signed, kept for third parties."""

    method: str
    device: str
    assurance: str
    approves_from: datetime | None = None
    assertion: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a proof does not count: wrong, used, locked or factor_too_new. `is_new_lock` when this try closed the door."""

    code: str
    is_new_lock: bool = False


@operation
def prove_totp(person: Person, *, actor: Actor, code: str, purpose: str) -> Proof | Refusal:
    """Use up a code of one of the person's authenticators; a code serves once, whatever the purpose."""
    tries = _locked_tries(person.pk)
    at = clock.now()
    if _is_locked(tries, at=at):
        return Refusal(code="locked")
    known = False
    for device in TotpDevice.objects.usable().filter(user=person).select_for_update(of=("self",), no_key=True):
        try:
            seed = open_seed(device.sealed_seed, device_id=device.pk, person_id=person.pk)
        except CryptoError:
            # Somebody wrote to the table by hand: the device proves nothing, and that is told.
            record(TotpSeedUnreadable(target_id=str(device.pk), person=str(person.pk)), actor=actor, at=at)
            continue
        step = otp.verify(seed, code, at=at, last_step=device.last_step)
        if step is not None:
            if not may_prove(purpose=purpose, approves_from=device.approves_from, at=at):
                return Refusal(code="factor_too_new")
            TotpDevice.objects.filter(pk=device.pk).update(last_step=step)
            forget_tries(tries)
            return Proof(method="totp", device=f"totp:{device.pk}", assurance="otp", approves_from=device.approves_from)
        known = known or otp.verify(seed, code, at=at, last_step=None) is not None
    # A right code a second time is a double click or a replay, not a guess: refused, but it locks nobody out.
    return Refusal(code="used") if known else _count_failure(tries, at=at)


@operation
def prove_passkey(
    person: Person, *, actor: Actor, answer: str, challenge: bytes | None, purpose: str
) -> Proof | Refusal:
    """Check a passkey's signature over a challenge that was taken from the session, and is therefore spent."""
    tries = _locked_tries(person.pk)
    at = clock.now()
    if _is_locked(tries, at=at):
        return Refusal(code="locked")
    signed = _signed(person, answer, challenge)
    if signed is None:
        return _count_failure(tries, at=at) if challenge else Refusal(code="used")
    passkey, assertion, verified = signed
    if not may_prove(purpose=purpose, approves_from=passkey.approves_from, at=at):
        return Refusal(code="factor_too_new")
    if not note_use(passkey, verified, actor=actor, at=at):
        return Refusal(code="wrong")
    forget_tries(tries)
    return Proof(
        method="passkey",
        device=f"passkey:{passkey.pk}",
        assurance="phishing-resistant",
        approves_from=passkey.approves_from,
        assertion=dict(assertion.to_json()),
    )


def _signed(
    person: Person, answer: str, challenge: bytes | None
) -> tuple[Passkey, Assertion, VerifiedAssertion] | None:
    """Find and lock the passkey that signed `challenge`; None for every kind of wrong answer."""
    try:
        assertion = read_assertion(answer)
        sha256 = Passkey.get_credential_id_sha256(assertion.credential_id)
        usable = Passkey.objects.usable().filter(user=person, credential_id_sha256=sha256)
        passkey = usable.select_for_update(of=("self",), no_key=True).get()
        verified = verify_challenge(
            bytes(passkey.public_key),
            assertion,
            challenge or b"",
            rp_id=settings.OTP_WEBAUTHN_RP_ID,
            origins=settings.OTP_WEBAUTHN_ALLOWED_ORIGINS,
        )
    except (Invalid, Passkey.DoesNotExist, AssertionRefused):
        return None
    return passkey, assertion, verified


@operation
def prove_recovery_code(person: Person, *, actor: Actor, code: str) -> Proof | Refusal:
    """Use up a recovery code. The slow hashes are computed under the person's lock: guesses wait in line."""
    tries = _locked_tries(person.pk)
    at = clock.now()
    if _is_locked(tries, at=at):
        return Refusal(code="locked")
    try:
        typed = canonical_recovery_code(code)
    except Malformed:
        return _count_failure(tries, at=at)
    for row in RecoveryCode.objects.unused().filter(person=person):
        if slow_hash_matches(typed, row.hashed, context=str(person.pk), keyring=keyring()):
            if not RecoveryCode.objects.unused().filter(pk=row.pk).update(used_at=at):
                return Refusal(code="used")
            left = RecoveryCode.objects.unused().filter(person=person).count()
            record(RecoveryCodeUsed(target_id=str(person.pk), left=left), actor=actor, at=at)
            forget_tries(tries)
            return Proof(method="recovery", device="recovery", assurance="recovery")
    return _count_failure(tries, at=at)


@operation
def prove_password(person: Person, *, actor: Actor, password: str) -> Refusal | None:
    """Check a signed-in person's present password, wrong ones counted with wrong factors; None when it is right.

    `password` in its canonical form.
    """
    tries = _locked_tries(person.pk)
    at = clock.now()
    if _is_locked(tries, at=at):
        return Refusal(code="locked")
    if person.check_password(password):
        return None  # failures are forgotten by a factor only: a password is the lesser proof
    refusal = _count_failure(tries, at=at)
    reason = "locked" if refusal.is_new_lock else "wrong-password"
    record(PasswordRefused(target_id=str(person.pk), reason=reason), actor=actor, at=at)
    return refusal


def _locked_tries(person_id: UUID) -> FactorTries:
    return locked_tries(FactorTries, person_id)


def _is_locked(tries: FactorTries, *, at: datetime) -> bool:
    return is_closed(tries, most=MOST_TRIES, at=at)


def _count_failure(tries: FactorTries, *, at: datetime) -> Refusal:
    is_new_lock = count_failure(tries, most=MOST_TRIES, at=at)
    return Refusal(code="locked", is_new_lock=True) if is_new_lock else Refusal(code="wrong")


def note_use(passkey: Passkey, verified: VerifiedAssertion, *, actor: Actor, at: datetime) -> bool:
    """Keep the counter; False when it went back, which a copied authenticator does (WebAuthn Level 3, section 6.1.1)."""
    moved = verified.sign_count > passkey.sign_count
    if not moved and (verified.sign_count or passkey.sign_count):
        record(clone_of(passkey), actor=actor, at=at)
        return False
    Passkey.objects.filter(pk=passkey.pk).update(
        sign_count=verified.sign_count, last_used_at=at, backup_state=verified.backed_up
    )
    return True


def clone_of(passkey: Passkey) -> PasskeyCloneSuspected:
    """What is told of a passkey whose counter went back; whoever refuses and rolls back hands it on with the denial."""
    return PasskeyCloneSuspected(target_id=str(passkey.pk), person=str(passkey.user_id))
