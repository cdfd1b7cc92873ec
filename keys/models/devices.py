"""Store which machines ask to be signed in by a person in a browser (RFC 8628), by hashes of their codes."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from audit.actor import Actor
from keys.models.base import Row
from keys.models.factors import Tries
from keys.models.people import Person
from keys.models.reach import reach_of

LONGEST_NAME = 80
SECONDS_BETWEEN_POLLS = 5


class DeviceSignInQuerySet(models.QuerySet["DeviceSignIn"]):
    """Find sign-ins of machines."""

    def visible_to(self, actor: Actor | None) -> DeviceSignInQuerySet:
        """Whoever typed the code sees which machine it is of; before, nobody does."""
        person_id = reach_of(actor).person_id
        return self.none() if person_id is None else self.filter(person_id=person_id)


class DeviceSignIn(Row):
    """One machine that waits. `person` is whoever typed its code first; only they can answer."""

    device_hash = models.CharField(max_length=200, unique=True)
    code_hash = models.CharField(max_length=200, unique=True)
    name = models.CharField(max_length=LONGEST_NAME)  # "" for whoever gave none
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True, default="")
    expires_at = models.DateTimeField()
    interval_seconds = models.PositiveSmallIntegerField(default=SECONDS_BETWEEN_POLLS)
    polled_at = models.DateTimeField(null=True)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    is_allowed = models.BooleanField(default=False)
    redeemed_at = models.DateTimeField(null=True)
    methods = ArrayField(models.CharField(max_length=20), default=list)
    device = models.CharField(max_length=60, blank=True, default="")
    assurance = models.CharField(max_length=20, blank=True, default="")
    row_mac = models.CharField(max_length=200)

    objects = DeviceSignInQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "id")
        indexes: ClassVar = [models.Index("created_at", name="device_sign_in_created")]

    def __str__(self) -> str:
        return str(self.pk)


class DeviceCodeTries(Tries):
    """How often one person typed a code that no machine shows (RFC 8628, section 5.1)."""
