"""Store what the sealer wrote: places, subtrees, signed heads, who else signed them, and times without the log."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Func, Q


class AuditLeaf(models.Model):
    """The final place of an event in the log, and its leaf hash (RFC 9162)."""

    index = models.BigIntegerField(primary_key=True)
    event_id = models.BigIntegerField()
    leaf_hash = models.BinaryField()

    class Meta:
        db_table = "audit_leaf"
        constraints: ClassVar = [
            # A page of scattered events reads their places in the index, and not a block of the table for each.
            models.UniqueConstraint(fields=["event_id"], include=["index"], name="audit_leaf_event"),
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
