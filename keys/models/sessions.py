"""Store who is signed in where, by the hash of a session key that only the browser, or the device, holds."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Now

from audit.actor import Actor
from keys.models.base import Row, one_of
from keys.models.people import Person
from keys.models.reach import reach_of
from keys.states import Role, SessionKind

# NIST SP 800-63B-4, section 2.2.3 (AAL2), and shorter for those who can do more.
IDLE_PERIOD = timedelta(minutes=30)
LONGEST_PERIOD = timedelta(hours=12)
ADMINISTRATOR_IDLE_PERIOD = timedelta(minutes=15)
ADMINISTRATOR_LONGEST_PERIOD = timedelta(hours=8)
# A command line is asked now and then; the same section wants no more than an hour.
DEVICE_IDLE_PERIOD = timedelta(hours=1)


def _period(ordinary: timedelta, administrator: timedelta, device: timedelta) -> Case:
    return Case(
        When(person__roles__contains=[str(Role.ADMINISTRATOR)], then=Value(administrator)),
        When(kind=str(SessionKind.DEVICE), then=Value(device)),
        default=Value(ordinary),
        output_field=models.DurationField(),
    )


class SessionQuerySet(models.QuerySet["Session"]):
    """Find sessions."""

    def visible_to(self, actor: Actor | None) -> SessionQuerySet:
        """People see their own sessions and nobody else's."""
        person_id = reach_of(actor).person_id
        return self.none() if person_id is None else self.filter(person_id=person_id)

    def living(self) -> SessionQuerySet:
        """Neither idle nor old by the clock of the database, and of somebody who may sign in."""
        return self.alias(
            idle_from=F("last_seen_at") + _period(IDLE_PERIOD, ADMINISTRATOR_IDLE_PERIOD, DEVICE_IDLE_PERIOD),
            old_from=Coalesce("signed_in_at", "created_at")
            + _period(LONGEST_PERIOD, ADMINISTRATOR_LONGEST_PERIOD, LONGEST_PERIOD),
        ).filter(
            Q(person=None) | Q(person__is_active=True),
            Q(ends_at=None) | Q(ends_at__gt=Now()),
            idle_from__gt=Now(),
            old_from__gt=Now(),
        )


class Session(Row):
    """One browser, or one device with a token. `person` is empty until both factors were given; `pending_*` says how far someone has come.

    What decides (factors, step-ups, challenges) are columns, each with one writer. `content` is Django's dictionary, which
    the last writer wins, so nothing that decides may live there.
    """

    kind = models.CharField(max_length=10, default=str(SessionKind.BROWSER))
    key_hash = models.CharField(max_length=200, unique=True)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, related_name="sessions")
    last_seen_at = models.DateTimeField()
    signed_in_at = models.DateTimeField(null=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True, default="")
    methods = ArrayField(models.CharField(max_length=20), default=list)
    device = models.CharField(max_length=60, blank=True, default="")
    assurance = models.CharField(max_length=20, blank=True, default="")
    step_ups = models.JSONField(default=list)
    must_rotate = models.BooleanField(default=False)
    pending_person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, related_name="+")
    pending_stage = models.CharField(max_length=20, blank=True, default="")
    pending_until = models.DateTimeField(null=True)
    challenge = models.CharField(max_length=100, blank=True, default="")
    challenge_purpose = models.CharField(max_length=60, blank=True, default="")
    challenge_until = models.DateTimeField(null=True)
    content = models.TextField(blank=True, default="")
    # Of a device only: what its machine is called, the public part of its token, when it ends whatever happens, Django's
    # hash that a new password makes worthless (a browser's is in its signed content), and the MAC of all that.
    name = models.CharField(max_length=80, blank=True, default="")
    kid = models.CharField(max_length=16, blank=True, default="")
    ends_at = models.DateTimeField(null=True)
    auth_hash = models.CharField(max_length=100, blank=True, default="")
    row_mac = models.CharField(max_length=200, blank=True, default="")

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ("-last_seen_at", "id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("kind", SessionKind), name="session_kind_known")
        ]
        indexes: ClassVar = [models.Index("last_seen_at", name="session_last_seen")]

    def __str__(self) -> str:
        return str(self.pk)
