"""Store spent nonces where Valkey cannot, and which of the two stores is in force. High rate, so not governed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from keys.models.base import one_of
from keys.states import NonceStoreName


class SpentNonce(models.Model):
    """That a signature was accepted: a digest of its key and nonce, until its time is over."""

    digest = models.BigIntegerField(unique=True)
    created = models.BigIntegerField()  # Unix seconds, as the signature says

    class Meta:
        indexes: ClassVar = [models.Index("created", name="spent_nonce_created")]

    def __str__(self) -> str:
        return f"{self.digest} {self.created}"


class NonceStore(models.Model):
    """The one row that says where nonces are remembered, and since when: what was signed before may be a repetition."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    store = models.CharField(max_length=8)
    since = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="nonce_store_one_row"),
            models.CheckConstraint(condition=one_of("store", NonceStoreName), name="nonce_store_known"),
        ]

    def __str__(self) -> str:
        return self.store
