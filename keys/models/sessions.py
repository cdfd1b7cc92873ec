"""Store who is signed in where, by the hash of a session key that only the browser holds."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Now

from audit.actor import Actor
from keys.models.base import Row
from keys.models.people import Person
from keys.models.reach import reach_of
from keys.states import Role

# NIST SP 800-63B-4, section 2.2.3 (AAL2), and shorter for those who can do more.
IDLE_PERIOD = timedelta(minutes=30)
LONGEST_PERIOD = timedelta(hours=12)
ADMINISTRATOR_IDLE_PERIOD = timedelta(minutes=15)
ADMINISTRATOR_LONGEST_PERIOD = timedelta(hours=8)


def _period(ordinary: timedelta, administrator: timedelta) -> Case:
    return Case(
        When(person__roles__contains=[str(Role.ADMINISTRATOR)], then=Value(administrator)),
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
            idle_from=F("last_seen_at") + _period(IDLE_PERIOD, ADMINISTRATOR_IDLE_PERIOD),
            ends_at=Coalesce("signed_in_at", "created_at") + _period(LONGEST_PERIOD, ADMINISTRATOR_LONGEST_PERIOD),
        ).filter(Q(person=None) | Q(person__is_active=True), idle_from__gt=Now(), ends_at__gt=Now())


class Session(Row):
    """One browser. `person` is empty until both factors were given; `pending_*` says how far someone has come.

    What decides (factors, step-ups, challenges) are columns, each with one writer. `content` is Django's dictionary, which
    the last writer wins, so nothing that decides may live there.
    """

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

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ("-last_seen_at", "id")
        indexes: ClassVar = [models.Index("last_seen_at", name="session_last_seen")]

    def __str__(self) -> str:
        return str(self.pk)
