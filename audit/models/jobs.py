"""Store what workers do with the log, and how far they are: exports, forwarding, inspections."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from django.db import models
from django.db.models import Q


class ExportState(StrEnum):
    """How far an export is; keys.reports.export_queue moves it, and nothing else does."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


OPEN_EXPORTS = (str(ExportState.WAITING), str(ExportState.RUNNING))


class AuditExport(models.Model):
    """An export that a worker makes: what was asked for, how far it is, and the file that came of it."""

    uid = models.UUIDField(primary_key=True)
    requested_at = models.DateTimeField()
    requested_by = models.TextField()
    form = models.TextField()
    # `searched` is the filter in words, as events and the manifest tell it; `scope` is what the worker reads.
    searched = models.JSONField(default=dict)
    scope = models.JSONField(default=dict)
    with_private = models.BooleanField(default=False)
    state = models.TextField(default=ExportState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    rows = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    size = models.BigIntegerField(default=0)
    sha256 = models.BinaryField(default=bytes)
    file = models.TextField(default="")
    # The event that puts a finished file on record; a bundle waits until it is sealed.
    event_uid = models.UUIDField(null=True)
    error = models.TextField(default="")
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_export"
        indexes: ClassVar = [
            models.Index(fields=["requested_at"], name="audit_export_open", condition=Q(state__in=OPEN_EXPORTS)),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=[str(each) for each in ExportState]), name="audit_export_state"
            ),
        ]

    def __str__(self) -> str:
        return f"export {self.uid}"


class AuditForward(models.Model):
    """How far the sealed log was sent to a receiver outside, and when sending is tried again."""

    name = models.TextField(primary_key=True)
    next_leaf = models.BigIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    problem = models.TextField(default="")

    class Meta:
        db_table = "audit_forward"

    def __str__(self) -> str:
        return f"{self.name} was sent {self.next_leaf} leaves"


class InspectionState(StrEnum):
    """How far an inspection of the whole log is; keys.reports.inspections moves it, and nothing else does."""

    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"
    BROKEN = "broken"
    FAILED = "failed"


OPEN_INSPECTIONS = (str(InspectionState.WAITING), str(InspectionState.RUNNING))


class AuditInspection(models.Model):
    """A look at the whole log, nightly or because somebody asked: how far it is, and what was found."""

    uid = models.UUIDField(primary_key=True)
    asked_at = models.DateTimeField()
    asked_by = models.TextField()
    state = models.TextField(default=InspectionState.WAITING)
    started_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    checked = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    root = models.TextField(default="")
    findings = models.JSONField(default=list)
    first_bad_index = models.BigIntegerField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_inspection"
        indexes: ClassVar = [models.Index(fields=["asked_at"], name="audit_inspection_time")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=[str(each) for each in InspectionState]), name="audit_inspection_state"
            ),
            # Whoever asks while one is open waits for the same one.
            models.UniqueConstraint(
                models.Value(1), condition=Q(state__in=OPEN_INSPECTIONS), name="audit_inspection_one_open"
            ),
        ]

    def __str__(self) -> str:
        return f"inspection of {self.asked_at:%Y-%m-%d %H:%M}: {self.state}"
