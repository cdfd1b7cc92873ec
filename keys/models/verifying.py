"""Store what keeps verifiers in step: changes they must know, their leases, and the receipts of revocations. Not governed."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Func

from audit.actor import Actor
from audit.fields import TransactionIdField
from keys.models.catalogue import Environment, Service
from keys.models.keys import ManagedKey


class VerificationChange(models.Model):
    """That something changed which verifiers hold in memory. Written by triggers, so no door can forget it, nor SQL.

    Read by transaction (`txid` against a snapshot), never by `id > last`: rows of transactions that are still open would be
    missed. Without a key it means the catalogue: names, and how stale an environment may be.
    """

    id = models.BigAutoField(primary_key=True)
    txid = TransactionIdField(db_default=Func(function="pg_current_xact_id", output_field=models.BigIntegerField()))
    at = models.DateTimeField(db_default=Func(function="clock_timestamp", output_field=models.DateTimeField()))
    managed_key = models.ForeignKey(ManagedKey, on_delete=models.PROTECT, related_name="+", null=True)

    class Meta:
        indexes: ClassVar = [models.Index("txid", name="verification_change_txid")]

    def __str__(self) -> str:
        return f"{self.managed_key or 'catalogue'} {self.at:%H:%M:%S}"


class Verifier(models.Model):
    """The lease of one process that answers from memory: until `valid_until` it may be behind, but not behind `applied`.

    `terms` says for each environment how many milliseconds after `renewed_at` it stops answering; `applied` is the snapshot
    (pg_snapshot) of which everything visible is in its memory. A client's verifier holds the keys of one service and
    environment, on behalf of its credential. `reads` names the keys of the keyring that a process of ours holds.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    credential = models.ForeignKey(ManagedKey, on_delete=models.PROTECT, related_name="+", null=True)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="+", null=True)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+", null=True)
    started_at = models.DateTimeField()
    renewed_at = models.DateTimeField()
    valid_until = models.DateTimeField()
    terms = models.JSONField(default=dict)
    applied = models.TextField()
    entries = models.BigIntegerField(default=0)
    reads = models.JSONField(default=list, db_default=[])
    hears = models.BooleanField(default=False)  # the doorbell in Valkey; without it, it looks by itself
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("name", "id")
        indexes: ClassVar = [models.Index("valid_until", name="verifier_valid_until")]

    def __str__(self) -> str:
        return self.name


class RevocationReceiptQuerySet(models.QuerySet["RevocationReceipt"]):
    """Ways to find receipts."""

    def visible_to(self, actor: Actor | None) -> RevocationReceiptQuerySet:
        """Whoever sees the key sees what became of it."""
        return self.filter(managed_key__in=ManagedKey.objects.visible_to(actor).values("pk"))


class RevocationReceipt(models.Model):
    """That a stop was everywhere when it was answered: what each verifier with a living lease said, or when its lease ran out."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    managed_key = models.ForeignKey(ManagedKey, on_delete=models.PROTECT, related_name="receipts")
    action = models.CharField(max_length=20)
    committed_at = models.DateTimeField()
    answered_at = models.DateTimeField()
    verifiers = models.JSONField(default=list)

    objects = RevocationReceiptQuerySet.as_manager()

    class Meta:
        ordering = ("-answered_at", "id")

    def __str__(self) -> str:
        return f"{self.managed_key} {self.action} {self.answered_at:%H:%M:%S}"


class UsageBatch(models.Model):
    """That the counts of one file, or of one report, are in: they are added once, however often they are brought."""

    id = models.UUIDField(primary_key=True)
    added_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.id)
