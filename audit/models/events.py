"""Store events, their private parts, and the queue to the sealer; values are copied, and outlive what they name."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Func, Q

from audit.canonical import JsonValue, parse_strict
from audit.fields import TransactionIdField
from audit.queries import AuditEventQuerySet

MAX_PAYLOAD = 16 * 1024


class AuditEvent(models.Model):
    """One event; `payload` is what was hashed, and a trigger fills every other column from it."""

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Func(function="clock_timestamp", output_field=models.DateTimeField()))
    txid = TransactionIdField(db_default=Func(function="pg_current_xact_id", output_field=models.BigIntegerField()))
    actor_type = models.TextField()
    actor_id = models.TextField()
    action = models.TextField()
    target_type = models.TextField()
    target_id = models.TextField()
    environment = models.TextField()
    outcome = models.TextField()
    request_id = models.TextField()
    payload = models.BinaryField()

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        db_table = "audit_event"
        indexes: ClassVar = [
            models.Index(fields=["occurred_at", "id"], name="audit_event_time"),
            models.Index(fields=["target_type", "target_id", "occurred_at", "id"], name="audit_event_target"),
            models.Index(fields=["actor_type", "actor_id", "occurred_at", "id"], name="audit_event_actor"),
            models.Index(fields=["action", "occurred_at", "id"], name="audit_event_action"),
            models.Index(fields=["environment", "occurred_at", "id"], name="audit_event_environment"),
            # Nearly all events are successes: those are found by time.
            models.Index(
                fields=["outcome", "occurred_at", "id"], name="audit_event_outcome", condition=~Q(outcome="success")
            ),
            models.Index(fields=["request_id"], name="audit_event_request", condition=~Q(request_id="")),
            # The completeness guard asks at COMMIT for the events of this transaction.
            models.Index(fields=["txid", "target_id"], name="audit_event_transaction"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(payload__length__lte=MAX_PAYLOAD), name="audit_event_payload_size"),
        ]

    def __str__(self) -> str:
        return f"{self.occurred_at:%Y-%m-%d %H:%M:%S} {self.action} {self.target_type} {self.target_id}"

    def envelope(self) -> dict[str, JsonValue]:
        """Return the event as it was hashed."""
        value = parse_strict(bytes(self.payload))
        if not isinstance(value, dict):
            raise TypeError("a payload is an object")
        return value


class AuditPrivate(models.Model):
    """The personal part of an event: deletable, while its salted hash stays in the payload."""

    event = models.OneToOneField(
        AuditEvent, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="private"
    )
    salt = models.BinaryField()
    body = models.BinaryField()

    class Meta:
        db_table = "audit_private"

    def __str__(self) -> str:
        return f"private part of event {self.event_id}"

    def facts(self) -> dict[str, JsonValue]:
        """Return the private part as it was hashed."""
        value = parse_strict(bytes(self.body))
        if not isinstance(value, dict):
            raise TypeError("a private part is an object")
        return value


class AuditPending(models.Model):
    """The queue to the sealer, filled by a trigger in the event's own transaction so that none is missed."""

    event_id = models.BigIntegerField(primary_key=True)

    class Meta:
        db_table = "audit_pending"

    def __str__(self) -> str:
        return f"event {self.event_id} is not sealed yet"
