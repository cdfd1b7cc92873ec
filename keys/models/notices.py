"""Keep who was told what, so that telling again does no harm, and where the dispatcher stands."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models

from audit.actor import Actor
from keys.models.base import one_of
from keys.models.people import Person
from keys.models.reach import reach_of
from keys.states import Delivery

MOST_ATTEMPTS = 8  # to mail one notice, within 41 hours (keys.notifications.mail)


class NoticeQuerySet(models.QuerySet["Notice"]):
    """Ways to find notices."""

    def visible_to(self, actor: Actor | None) -> NoticeQuerySet:
        person_id = reach_of(actor).person_id
        return self.none() if person_id is None else self.filter(person_id=person_id)

    def unsent(self) -> NoticeQuerySet:
        """What goes out by itself and has not."""
        return self.filter(sent_at=None, delivery=Delivery.NOW, digest=None)

    def due(self, at: datetime) -> NoticeQuerySet:
        """What is to go out now, and not for the last time already."""
        return self.unsent().exclude(next_attempt_at__gt=at).filter(attempts__lt=MOST_ATTEMPTS)

    def given_up(self) -> NoticeQuerySet:
        """What should have gone out and was tried for the last time (keys.notifications.mail)."""
        return self.unsent().filter(attempts__gte=MOST_ATTEMPTS)

    def held(self) -> NoticeQuerySet:
        return self.filter(sent_at=None, delivery=Delivery.HELD)

    def waiting_for_a_digest(self) -> NoticeQuerySet:
        return self.filter(sent_at=None, delivery=Delivery.DIGEST, digest=None)


class Notice(models.Model):
    """One thing one person is told about one event, or reminded of by the clock. No words and no link are stored."""

    event_uid = models.UUIDField()
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=60)
    subject_type = models.CharField(max_length=20)
    subject_id = models.CharField(max_length=64)
    params = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    delivery = models.CharField(max_length=8, default=str(Delivery.NOW))
    # The notice whose one mail says this too.
    digest = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="lines")

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.UniqueConstraint("event_uid", "person", "kind", name="notice_once"),
            models.CheckConstraint(condition=one_of("delivery", Delivery), name="notice_delivery_known"),
        ]
        indexes: ClassVar = [models.Index("created_at", condition=models.Q(sent_at=None), name="notice_unsent")]

    def __str__(self) -> str:
        return self.kind


class Reminder(models.Model):
    """One threshold before an end of which people were reminded: the row is why it happens once, whoever sweeps and how often.

    When the end moves, by a renewal or another claim, the thresholds before the new end are other rows.
    """

    kind = models.CharField(max_length=40)
    subject_id = models.UUIDField()
    ends_at = models.DateTimeField()
    days_before = models.SmallIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint("kind", "subject_id", "ends_at", "days_before", name="reminder_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.days_before}"


class DispatchCursor(models.Model):
    """How far a reader of the sealed log has come: everything before this leaf has been reacted to."""

    reader = models.CharField(max_length=40, primary_key=True)
    next_leaf = models.BigIntegerField(default=0)
    moved_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.reader


class FailedReaction(models.Model):
    """An event that a reader could not react to and went past: it comes again, later and later, and holds up nobody."""

    reader = models.CharField(max_length=40)
    leaf = models.BigIntegerField()
    failures = models.PositiveSmallIntegerField(default=1)
    first_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    error = models.CharField(max_length=120)  # the name of its class: a message may quote anything

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint("reader", "leaf", name="failed_reaction_once")]

    def __str__(self) -> str:
        return f"{self.reader} {self.leaf}: {self.error}"
