"""Store how long the log is kept: holds, periods, and the archives that allow pruning."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from audit.governed import governed


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


WITHOUT_END = 2**53 - 1  # the largest number that an event can hold
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
