"""Remember which requests with an Idempotency-Key were answered, and how."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import IntegrityError, models, transaction
from django.db.models.functions import Now

from audit.actor import Actor

KEPT_FOR = timedelta(hours=24)


class IdempotencyQuerySet(models.QuerySet["IdempotencyRecord"]):
    """Find and reserve; times are the database's."""

    def visible_to(self, actor: Actor) -> IdempotencyQuerySet:
        """Everybody has keys of their own: nobody meets an answer that was given to another."""
        return self.filter(actor_kind=str(actor.kind), actor_id=actor.id)

    def reserve(self, *, actor: Actor, key_hash: str, request_digest: str) -> IdempotencyRecord | None:
        """Take the key for this request, or return None when it is taken (of two at once, one gets it)."""
        self.model.objects.forget_expired()
        try:
            with transaction.atomic():
                return self.create(
                    actor_kind=str(actor.kind),
                    actor_id=actor.id,
                    key_hash=key_hash,
                    request_digest=request_digest,
                    created_at=Now(),
                    expires_at=Now() + KEPT_FOR,
                )
        except IntegrityError:
            return None

    def forget_expired(self) -> int:
        """Delete what is too old to answer anybody."""
        return self.filter(expires_at__lte=Now()).delete()[0]


class IdempotencyRecord(models.Model):
    """One key of one actor. `status` is empty while the first request runs; `body` never holds a secret."""

    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=80)
    key_hash = models.CharField(max_length=64)
    request_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(blank=True, default="")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    objects = IdempotencyQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint("actor_kind", "actor_id", "key_hash", name="idempotency_key_once"),
        ]
        indexes: ClassVar = [models.Index("expires_at", name="idempotency_expiring")]

    def __str__(self) -> str:
        return f"{self.actor_kind} {self.created_at:%Y-%m-%d %H:%M}"

    def remember(self, status: int, body: str) -> None:
        """Keep the answer for whoever asks again."""
        type(self)._default_manager.filter(pk=self.pk).update(status=status, body=body)

    def release(self) -> None:
        """Give the key back: nothing was changed, so the request may be tried again."""
        self.delete()
