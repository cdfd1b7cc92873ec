"""Enrol and remove second factors: authenticator apps and passkeys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings

from audit import clock
from audit.actor import Actor
from keys import text
from keys.crypto import otp
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Denied, Invalid
from keys.events import PasskeyEnrolled, PasskeyRemoved, TotpEnrolled, TotpOffered, TotpRemoved
from keys.models import Passkey, Person, RecoveryCode, TotpDevice
from keys.operations import insert, locked, operation, update
from keys.people.facts import ever_had_factor, has_factor, may_still_enrol, usable_factors
from keys.people.seeds import open_seed, seal_seed
from keys.people.sessions import end_sessions_of
from keys.people.webauthn import NewCredential
from keys.policy.enforcement import enforce
from keys.policy.people_rules import approves_from, may_change_own_factors, may_remove_factor

MOST_FACTORS = 10


def _enforce_enrolment(person: Person, *, actor: Actor, at: datetime) -> None:
    """Adding to a factor needs its presence; a first one needs an invitation that was just accepted."""
    enrolled = has_factor(person.pk)
    enforce(may_change_own_factors(actor, person_id=person.pk, has_factor=enrolled, at=at))
    if not person.is_active:
        raise Denied("person_not_active", rule="factors.active")
    if not enrolled and not may_still_enrol(person.pk, at=at):
        raise Denied("invitation_needed", rule="factors.invitation")
    if usable_factors(person.pk) >= MOST_FACTORS:
        raise Conflict("too_many_factors", most=MOST_FACTORS)


def _age_columns(person_id: UUID, *, at: datetime) -> dict[str, object]:
    had_before = ever_had_factor(person_id)
    after_reset = had_before and not has_factor(person_id)
    return {
        "after_reset": after_reset,
        "approves_from": approves_from(is_first=not had_before, after_reset=after_reset, at=at),
    }


@operation
def enrol_totp(person: Person, *, actor: Actor, name: str) -> TotpDevice:
    """Make a seed for an authenticator app. It proves nothing until `confirm_totp`; show it with `seed_of`."""
    person = locked(person)
    at = clock.now()
    shown = text.line(name, "name", most=64)
    _enforce_enrolment(person, actor=actor, at=at)
    for older in TotpDevice.objects.filter(user=person, confirmed=False, removed_at=None):
        update(
            older,
            TotpRemoved,
            actor=actor,
            at=at,
            columns={"removed_at": at},
            reason="never-confirmed",
            person=str(person.pk),
        )
    device = TotpDevice(user=person, name=shown, confirmed=False, created_at=at)
    device.sealed_seed = seal_seed(otp.new_seed(), device_id=device.pk, person_id=person.pk)
    return insert(device, TotpOffered, actor=actor, at=at, person=str(person.pk))


def seed_of(device: TotpDevice) -> Secret:
    """Open the seed of a device that is not confirmed yet, for the page that shows it; afterwards nobody sees it."""
    if device.confirmed or device.removed_at is not None:
        raise Conflict("factor_confirmed")
    return open_seed(device.sealed_seed, device_id=device.pk, person_id=device.user_id)


def seed_text(device: TotpDevice) -> Secret:
    """Write the seed of an unconfirmed device as people type it into an app."""
    return otp.base32_text(seed_of(device))


def provisioning_of(device: TotpDevice) -> Secret:
    """Write the seed of an unconfirmed device as apps scan it."""
    return otp.provisioning_uri(seed_of(device), account=device.user.email, issuer=settings.OTP_WEBAUTHN_RP_NAME)


@operation
def confirm_totp(device: TotpDevice, *, actor: Actor, code: str) -> TotpDevice:
    """Confirm an authenticator app by its first code, which is then used up."""
    person = locked(device.user)
    device = locked(device)
    at = clock.now()
    _enforce_enrolment(person, actor=actor, at=at)
    step = otp.verify(seed_of(device), code, at=at, last_step=device.last_step)
    if step is None:
        raise Invalid.field("code", "wrong_code")
    TotpDevice.objects.filter(pk=device.pk).update(last_step=step)
    return update(
        device,
        TotpEnrolled,
        actor=actor,
        at=at,
        expected={"confirmed": False, "removed_at": None},
        columns={"confirmed": True, "confirmed_at": at, **_age_columns(person.pk, at=at)},
        person=str(person.pk),
    )


@operation
def enrol_passkey(person: Person, *, actor: Actor, name: str, credential: NewCredential) -> Passkey:
    """Keep a passkey that `keys.people.webauthn.read_registration` verified."""
    person = locked(person)
    at = clock.now()
    shown = text.line(name, "name", most=64)
    _enforce_enrolment(person, actor=actor, at=at)
    sha256 = Passkey.get_credential_id_sha256(credential.credential_id)
    if Passkey.objects.filter(credential_id_sha256=sha256).exists():
        raise Conflict("passkey_known")
    passkey = Passkey(
        user=person,
        name=shown,
        confirmed=True,
        created_at=at,
        credential_id=credential.credential_id,
        credential_id_sha256=sha256,
        public_key=credential.public_key,
        transports=list(credential.transports),
        aaguid=credential.aaguid,
        sign_count=credential.sign_count,
        backup_eligible=credential.backup_eligible,
        backup_state=credential.backed_up,
        discoverable=credential.discoverable,
        **_age_columns(person.pk, at=at),
    )
    return insert(
        passkey, PasskeyEnrolled, actor=actor, at=at, person=str(person.pk), rp_id=settings.OTP_WEBAUTHN_RP_ID
    )


@operation
def remove_factor(factor: TotpDevice | Passkey, *, actor: Actor, session_id: UUID | None = None) -> None:
    """Let a factor prove nothing any more; never the last one. Every session but `session_id` ends: who has a lost phone may be in one."""
    person = locked(factor.user)
    factor = locked(factor)
    at = clock.now()
    others = usable_factors(person.pk, but=factor.pk)
    enforce(may_remove_factor(actor, person_id=person.pk, left=others, at=at))
    if factor.removed_at is not None:
        raise Conflict("factor_removed")
    _remove(factor, actor=actor, at=at)
    end_sessions_of(person.pk, actor=actor, at=at, but=session_id)


def _remove(factor: TotpDevice | Passkey, *, actor: Actor, at: datetime) -> None:
    update(
        factor,
        TotpRemoved if isinstance(factor, TotpDevice) else PasskeyRemoved,
        actor=actor,
        at=at,
        expected={"removed_at": None},
        columns={"confirmed": False, "removed_at": at},
        person=str(factor.user_id),
    )


def remove_all_factors(person: Person, *, actor: Actor, at: datetime) -> int:
    """Take away every factor and recovery code, inside an operation that decided so; return how many factors."""
    factors: list[TotpDevice | Passkey] = [
        *TotpDevice.objects.filter(user=person, removed_at=None).select_for_update(),
        *Passkey.objects.filter(user=person, removed_at=None).select_for_update(),
    ]
    for factor in factors:
        _remove(factor, actor=actor, at=at)
    RecoveryCode.objects.unused().filter(person=person).update(voided_at=at)
    return len(factors)


def is_settled(device: str, *, at: datetime) -> bool:
    """Whether the factor that `Actor.auth.device` names (`totp:<id>`, `passkey:<id>`) may decide for others at `at`."""
    kind, _, pk = device.partition(":")
    if kind == "passkey":
        return Passkey.objects.usable().filter(pk=pk, approves_from__lte=at).exists()
    if kind == "totp":
        return TotpDevice.objects.usable().filter(pk=pk, approves_from__lte=at).exists()
    return False
