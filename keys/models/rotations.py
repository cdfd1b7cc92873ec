"""Store the replacement of a key's secret, step by step; at most one is open for each key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final

from django.db import models
from django.db.models import ExpressionWrapper, F, OuterRef, Q, Subquery, Value

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.keys import KeyVersion, ManagedKey
from keys.models.policies import Policy
from keys.states import (
    BOTH_WORK_STATES,
    OPEN_ROTATION_STATES,
    WAITING_ROTATION_STATES,
    Overlap,
    RotationCause,
    RotationState,
)

_OPEN = [str(each) for each in OPEN_ROTATION_STATES]
# Workers write what the clock has done within seconds; whoever is to claim has days.
_SOON_WRITTEN: Final = timedelta(minutes=1)
_SOON_CLAIMED: Final = timedelta(days=3)


class RotationQuerySet(models.QuerySet["Rotation"]):
    """Ways to find rotations."""

    def visible_to(self, actor: Actor | None) -> RotationQuerySet:
        """Whoever sees the key sees its rotations."""
        return self.filter(managed_key__in=ManagedKey.objects.visible_to(actor).values("pk"))

    def open(self) -> RotationQuerySet:
        return self.filter(state__in=_OPEN)

    def due(self, at: datetime) -> RotationQuerySet:
        """Scheduled ones whose time has come."""
        return self.filter(state=RotationState.SCHEDULED, due_at__lte=at)

    def beyond_policy(self) -> RotationQuerySet:
        """Those scheduled for later than the policy in force now lets a secret live; `latest` is when it has to be replaced."""
        policies = Policy.objects.filter(
            service=OuterRef("managed_key__service"), environment=OuterRef("managed_key__environment")
        )
        days = Subquery(policies.order_by("-version").values("max_cryptoperiod_days")[:1])
        span = ExpressionWrapper(days * Value(timedelta(days=1)), output_field=models.DurationField())
        latest = ExpressionWrapper(F("old_version__activated_at") + span, output_field=models.DateTimeField())
        return self.filter(state=RotationState.SCHEDULED).annotate(latest=latest).filter(due_at__gt=F("latest"))

    def untaken(self, at: datetime) -> RotationQuerySet:
        """Those whose new version can no longer be had."""
        waiting = self.filter(state__in=WAITING_ROTATION_STATES)
        return waiting.exclude(new_version__in=KeyVersion.objects.living(at).values("pk"))

    def late(self, at: datetime) -> RotationQuerySet:
        """Those somebody should look at: not begun or not written down in time, or the new secret waits too long."""
        waiting = Q(state__in=WAITING_ROTATION_STATES)
        overdue = Q(prepared_at__lte=at - _SOON_CLAIMED) | Q(old_version__expires_at__lte=at + _SOON_CLAIMED)
        both = Q(state__in=BOTH_WORK_STATES)
        return self.filter(
            Q(state=RotationState.SCHEDULED, due_at__lte=at - _SOON_WRITTEN)
            | (waiting & overdue)
            | (both & Q(old_version__retire_at__lte=at - _SOON_WRITTEN))
        )

    def waiting_for_traffic(self) -> RotationQuerySet:
        """Those whose old version ends by what clients do."""
        by_traffic = (Overlap.FIRST_USE, Overlap.WHEN_IDLE)
        return self.filter(state=RotationState.ACTIVATED, overlap__in=by_traffic)

    def over(self, at: datetime) -> RotationQuerySet:
        """Those whose old version has ended, by its state or by the clock."""
        both = self.filter(state__in=BOTH_WORK_STATES)
        return both.exclude(old_version__in=KeyVersion.objects.living(at).values("pk"))


@governed("rotation")
class Rotation(Row):
    """One replacement of a key's secret. The key keeps its id, name, scopes, environment, networks and authorisation."""

    managed_key = models.ForeignKey(ManagedKey, on_delete=models.PROTECT, related_name="rotations")
    state = models.CharField(max_length=12)
    cause = models.CharField(max_length=12)
    overlap = models.CharField(max_length=10)
    due_at = models.DateTimeField()
    old_version = models.ForeignKey(KeyVersion, on_delete=models.PROTECT, null=True, related_name="+")
    new_version = models.ForeignKey(KeyVersion, on_delete=models.PROTECT, null=True, related_name="+")
    started_by = models.CharField(max_length=80)
    # SHA-256 in hex of the token with which the client fetches the new secret itself.
    fetch_token = models.CharField(max_length=64, blank=True, default="")
    prepared_at = models.DateTimeField(null=True)
    handed_over_at = models.DateTimeField(null=True)
    activated_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_reason = models.CharField(max_length=30, blank=True, default="")

    objects = RotationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("state", RotationState), name="rotation_state_known"),
            models.CheckConstraint(condition=one_of("cause", RotationCause), name="rotation_cause_known"),
            models.CheckConstraint(condition=one_of("overlap", Overlap), name="rotation_overlap_known"),
            models.UniqueConstraint("managed_key", condition=Q(state__in=_OPEN), name="rotation_one_open"),
            models.CheckConstraint(
                condition=Q(state__in=_OPEN, ended_at=None) | (~Q(state__in=_OPEN) & Q(ended_at__isnull=False)),
                name="rotation_ended_with_its_state",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["scheduled", "aborted"]) | Q(new_version__isnull=False),
                name="rotation_has_its_new_version",
            ),
        ]
        indexes: ClassVar = [
            models.Index("due_at", condition=Q(state="scheduled"), name="rotation_due"),
            models.Index("state", condition=Q(state__in=_OPEN), name="rotation_open"),
        ]

    def __str__(self) -> str:
        return f"{self.managed_key}: rotation of {self.created_at:%Y-%m-%d}"
