"""Store the log: events, their private parts, the queue to the sealer, and the places of seals and proofs.

Nothing here has a foreign key to what it tells about: values are copied, and outlive what they name. Sealing and proofs
come with their own release; their tables stand from the first migration, so that the log need never be moved.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from django.db import models
from django.db.models import Func, Q

from audit.canonical import JsonValue, parse_strict
from audit.fields import TransactionIdField
from audit.governed import governed
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
            models.Index(fields=["txid", "target_type", "target_id"], name="audit_event_transaction"),
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


class AuditLeaf(models.Model):
    """The final place of an event in the log, and its leaf hash (RFC 9162)."""

    index = models.BigIntegerField(primary_key=True)
    event_id = models.BigIntegerField(unique=True)
    leaf_hash = models.BinaryField()

    class Meta:
        db_table = "audit_leaf"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(index__gte=0), name="audit_leaf_index"),
            models.CheckConstraint(condition=Q(leaf_hash__length=32), name="audit_leaf_hash_size"),
        ]

    def __str__(self) -> str:
        return f"leaf {self.index}"


class AuditNode(models.Model):
    """The hash of a full subtree; it stays when its leaves are pruned."""

    pk = models.CompositePrimaryKey("level", "index")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        db_table = "audit_node"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(hash__length=32), name="audit_node_hash_size"),
        ]

    def __str__(self) -> str:
        return f"node {self.level}/{self.index}"


class AuditCheckpoint(models.Model):
    """A signed tree head: the log had this size and this root."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField()
    note = models.TextField()
    signed_at = models.DateTimeField()

    class Meta:
        db_table = "audit_checkpoint"

    def __str__(self) -> str:
        return f"checkpoint of {self.size} leaves"


class AuditCosignature(models.Model):
    """A witness's signature under a checkpoint."""

    id = models.BigAutoField(primary_key=True)
    checkpoint = models.ForeignKey(AuditCheckpoint, on_delete=models.PROTECT, related_name="cosignatures")
    witness = models.TextField()
    signature = models.TextField()
    signed_at = models.DateTimeField()

    class Meta:
        db_table = "audit_cosignature"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["checkpoint", "witness", "signed_at"], name="audit_cosignature_once"),
        ]

    def __str__(self) -> str:
        return f"{self.witness} saw {self.checkpoint_id} leaves"


class AuditWitness(models.Model):
    """What the sealer last heard of one witness: how much it has seen, and why it did not answer."""

    name = models.TextField(primary_key=True)
    kind = models.TextField()
    is_elsewhere = models.BooleanField()
    size = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True)
    # When its silence counts; said by the sealer, who knows how often it is asked.
    silent_at = models.DateTimeField()
    failed_at = models.DateTimeField(null=True)
    reason = models.TextField(default="")

    class Meta:
        db_table = "audit_witness"

    def __str__(self) -> str:
        return f"{self.name} saw {self.size} leaves"


class AuditInterruption(models.Model):
    """The database is behind the log it was sealed into: until the row is ended no key verifies and nobody is ready.

    The sealer begins it (`cause`: rollback or new-origin), `recovered_at` says that the log is whole again, and whoever
    brought the governed rows up to it ends it.
    """

    id = models.BigAutoField(primary_key=True)
    cause = models.TextField()
    began_at = models.DateTimeField(db_default=Func(function="clock_timestamp", output_field=models.DateTimeField()))
    from_leaf = models.BigIntegerField()
    upto_leaf = models.BigIntegerField()
    recovered_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.TextField(db_default="")

    class Meta:
        db_table = "audit_interruption"
        constraints: ClassVar = [
            models.UniqueConstraint(models.Value(1), condition=Q(ended_at=None), name="audit_interruption_one_open"),
        ]

    def __str__(self) -> str:
        return f"{self.cause} from leaf {self.from_leaf} to {self.upto_leaf}"


class LeafRange(models.Model):
    """From a leaf on, and before another."""

    from_leaf = models.BigIntegerField()
    upto_leaf = models.BigIntegerField()

    class Meta:
        abstract = True
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(from_leaf__gte=0, upto_leaf__gt=models.F("from_leaf")), name="%(class)s_range"
            ),
        ]


WITHOUT_END = 2**63 - 1
"""The end of a hold that also keeps what is not written yet."""


@governed("hold", private=("reason",))
class AuditHold(LeafRange):
    """A range that is neither pruned nor loses its private parts, such as for a court, until another lifts the hold.

    `placed_by` and `lifted_by` name an actor as `kind:id`; triggers let a hold only be placed, and lifted once.
    """

    id = models.BigAutoField(primary_key=True)
    reason = models.TextField()
    placed_at = models.DateTimeField()
    placed_by = models.TextField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.TextField(default="")

    class Meta(LeafRange.Meta):
        db_table = "audit_hold"
        constraints: ClassVar = [
            *LeafRange.Meta.constraints,
            models.CheckConstraint(condition=~Q(lifted_by=models.F("placed_by")), name="audithold_lifted_by_another"),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by="") | Q(lifted_at__isnull=False) & ~Q(lifted_by=""),
                name="audithold_lifted_by_someone",
            ),
        ]

    def __str__(self) -> str:
        return f"HOLD-{self.pk}"


@governed("retention", private=("reason",))
class AuditRetention(models.Model):
    """How long the log keeps events, and their private parts; `None` is for ever. The newest accepted row is in force.

    A trigger accepts a row at once only when it keeps nothing shorter; the rest waits for a second administrator.
    """

    id = models.BigAutoField(primary_key=True)
    keep_days = models.PositiveIntegerField(null=True)
    private_days = models.PositiveIntegerField(null=True)
    reason = models.TextField()
    proposed_at = models.DateTimeField()
    proposed_by = models.TextField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.TextField(default="")
    outcome = models.TextField(default="")

    class Meta:
        db_table = "audit_retention"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(outcome__in=["", "accepted", "refused"]), name="auditretention_outcome"),
            models.CheckConstraint(
                condition=Q(decided_at=None, decided_by="", outcome="")
                | Q(decided_at__isnull=False) & ~Q(decided_by="") & ~Q(outcome=""),
                name="auditretention_decided_by_someone",
            ),
            models.CheckConstraint(
                condition=(Q(keep_days=None) | Q(keep_days__gte=30)) & (Q(private_days=None) | Q(private_days__gte=1)),
                name="auditretention_spans",
            ),
            models.UniqueConstraint(fields=["outcome"], condition=Q(outcome=""), name="auditretention_one_open"),
        ]

    def __str__(self) -> str:
        return f"retention {self.pk}"


class AuditArchive(LeafRange):
    """A copy of a range in write-once storage; only a verified one allows pruning."""

    id = models.BigAutoField(primary_key=True)
    location = models.TextField()
    sha256 = models.BinaryField()
    size = models.BigIntegerField()
    archived_at = models.DateTimeField()
    verified_at = models.DateTimeField(null=True)

    class Meta(LeafRange.Meta):
        db_table = "audit_archive"

    def __str__(self) -> str:
        return f"archive of leaves {self.from_leaf}-{self.upto_leaf}"


class ExportState(StrEnum):
    """How far an export is; audit.export_queue moves it, and nothing else does."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


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
