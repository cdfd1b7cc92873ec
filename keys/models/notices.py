"""Keep who was told what, so that telling again does no harm, and where the dispatcher stands."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from audit.actor import Actor
from keys.models.people import Person
from keys.models.reach import reach_of


class NoticeQuerySet(models.QuerySet["Notice"]):
    """Ways to find notices."""

    def visible_to(self, actor: Actor | None) -> NoticeQuerySet:
        person_id = reach_of(actor).person_id
        return self.none() if person_id is None else self.filter(person_id=person_id)

    def unsent(self) -> NoticeQuerySet:
        return self.filter(sent_at=None)


class Notice(models.Model):
    """One thing one person is told about one event. The words are made when it is shown or sent, and no link is stored."""

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

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [models.UniqueConstraint("event_uid", "person", "kind", name="notice_once")]
        indexes: ClassVar = [models.Index("created_at", condition=models.Q(sent_at=None), name="notice_unsent")]

    def __str__(self) -> str:
        return self.kind


class DispatchCursor(models.Model):
    """How far a reader of the sealed log has come: everything before this leaf has been reacted to."""

    reader = models.CharField(max_length=40, primary_key=True)
    next_leaf = models.BigIntegerField(default=0)
    moved_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.reader
