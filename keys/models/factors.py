"""Store what people prove themselves with beside a password: authenticators, passkeys, recovery codes."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django_otp.models import Device
from django_otp_webauthn.models import AbstractWebAuthnCredential

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row
from keys.models.people import Person
from keys.models.reach import reach_of


class TotpDeviceQuerySet(models.QuerySet["TotpDevice"]):
    """Find authenticator apps."""

    def visible_to(self, actor: Actor | None) -> TotpDeviceQuerySet:
        person_id = reach_of(actor).person_id
        return self.none() if person_id is None else self.filter(user_id=person_id)

    def usable(self) -> TotpDeviceQuerySet:
        return self.filter(confirmed=True, removed_at=None)


@governed(
    "totp-device",
    private=("name",),
    excluded={
        "sealed_seed": "a sealed secret",
        "last_step": "which code was used last, told by the sign-in events",
    },
)
class TotpDevice(Device):  # type: ignore[misc]  # django-otp ships no types
    """An authenticator app. Codes are checked only by keys.people.proofs, under a row lock; `verify_token` says no."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)
    approves_from = models.DateTimeField(null=True)
    after_reset = models.BooleanField(default=False)
    sealed_seed = models.TextField()
    last_step = models.BigIntegerField(null=True)

    objects = TotpDeviceQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")

    def __str__(self) -> str:
        return str(self.name)


class PasskeyQuerySet(models.QuerySet["Passkey"]):
    """Find passkeys."""

    def visible_to(self, actor: Actor | None) -> PasskeyQuerySet:
        person_id = reach_of(actor).person_id
        return self.none() if person_id is None else self.filter(user_id=person_id)

    def usable(self) -> PasskeyQuerySet:
        return self.filter(confirmed=True, removed_at=None)


@governed(
    "passkey",
    private=("name",),
    excluded={
        "sign_count": "the authenticator's own counter, moved by every use",
        "last_used_at": "told by the sign-in events",
        "backup_state": "reported anew by every use",
    },
)
class Passkey(AbstractWebAuthnCredential):  # type: ignore[misc]  # ships no types
    """A WebAuthn credential. Its public key is in the enrolment event: approvals verify from the log alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)
    approves_from = models.DateTimeField(null=True)
    after_reset = models.BooleanField(default=False)

    objects = PasskeyQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")

    def __str__(self) -> str:
        return str(self.name)


class RecoveryCodeQuerySet(models.QuerySet["RecoveryCode"]):
    """Find recovery codes."""

    def unused(self) -> RecoveryCodeQuerySet:
        return self.filter(used_at=None, voided_at=None)


class RecoveryCode(Row):
    """One of a set of codes for the day all factors are lost: hashed slowly, used once."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="recovery_codes")
    hashed = models.CharField(max_length=250)
    used_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)

    objects = RecoveryCodeQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")

    def __str__(self) -> str:
        return str(self.pk)


class Tries(models.Model):
    """How often one person was wrong in a row about something; locked for every try (keys.people.tries)."""

    person = models.OneToOneField(Person, on_delete=models.CASCADE, primary_key=True, related_name="+")
    failures = models.PositiveSmallIntegerField(default=0)
    last_failed_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class FactorTries(Tries):
    """How often the second factor of one person was wrong in a row, whatever the address."""


class FactorResetQuerySet(models.QuerySet["FactorReset"]):
    """Find proposals to take away factors."""

    def visible_to(self, actor: Actor | None) -> FactorResetQuerySet:
        reach = reach_of(actor)
        if reach.everything:
            return self
        return self.none() if reach.person_id is None else self.filter(person_id=reach.person_id)

    def open(self, at: datetime) -> FactorResetQuerySet:
        return self.filter(decided_at=None, lapses_at__gt=at)


@governed("factor-reset", private=("reason",))
class FactorReset(Row):
    """One administrator's proposal to take away all factors of a person, and another's decision."""

    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="factor_resets")
    proposed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    lapses_at = models.DateTimeField()
    decided_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    is_confirmed = models.BooleanField(default=False)

    objects = FactorResetQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(is_confirmed=True) | ~Q(decided_by=models.F("proposed_by")),
                name="factor_reset_by_two",
            ),
            models.CheckConstraint(condition=~Q(person=models.F("proposed_by")), name="factor_reset_of_another"),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(is_confirmed=True) | ~Q(decided_by=models.F("person")),
                name="factor_reset_decided_by_another",
            ),
            models.UniqueConstraint("person", condition=Q(decided_at=None), name="factor_reset_one_open"),
        ]

    def __str__(self) -> str:
        return f"{self.person}"
