"""Store where events are sent to, and what was sent there with which outcome."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.people import Team
from keys.models.reach import reach_of
from keys.states import DeliveryState, EndpointForm


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    """Ways to find endpoints."""

    def visible_to(self, actor: Actor | None) -> WebhookEndpointQuerySet:
        """A team sees its own; those who answer for the whole see all. Programs do not look at where events go."""
        reach = reach_of(actor)
        if reach.everything:
            return self
        if reach.person_id is None:
            return self.none()
        return self.filter(owner_team_id__in=reach.team_ids)

    def living(self) -> WebhookEndpointQuerySet:
        """Those that nobody removed."""
        return self.filter(removed_at=None)

    def enabled(self) -> WebhookEndpointQuerySet:
        return self.living().filter(disabled_at=None)


@governed(
    "webhook",
    private=("url", "description"),
    excluded={
        "sealed_secret": "a sealed secret",
        "previous_secret": "a sealed secret",
    },
)
class WebhookEndpoint(Row):
    """A receiver of a team's events; of the whole organisation's when it has no team. The address may hold a token.

    A chat is told in words and has no secret: whoever knows its address may write there. Its `kinds` are families of messages.
    """

    owner_team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="webhooks")
    url = models.CharField(max_length=500)
    description = models.CharField(max_length=120)
    form = models.CharField(max_length=8, default=str(EndpointForm.EVENTS))
    kinds = ArrayField(models.CharField(max_length=60))
    sealed_secret = models.TextField()
    previous_secret = models.TextField(blank=True, default="")
    secret_set_at = models.DateTimeField()
    # Until then the previous secret signs too.
    previous_until = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=20, blank=True, default="")
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(disabled_at=None, disabled_reason="")
                | (Q(disabled_at__isnull=False) & ~Q(disabled_reason="")),
                name="webhook_disabled_with_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(removed_at=None) | Q(sealed_secret="", previous_secret=""),
                name="webhook_removed_without_secrets",
            ),
            models.CheckConstraint(condition=one_of("form", EndpointForm), name="webhook_form_known"),
            models.CheckConstraint(
                condition=~Q(form="chat") | Q(owner_team__isnull=False, sealed_secret="", previous_secret=""),
                name="webhook_chat_of_a_team",
            ),
        ]

    def __str__(self) -> str:
        return self.description


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    """Ways to find deliveries."""

    def visible_to(self, actor: Actor | None) -> WebhookDeliveryQuerySet:
        """Whoever sees the endpoint sees what was sent there."""
        return self.filter(endpoint__in=WebhookEndpoint.objects.visible_to(actor).values("pk"))

    def due(self, at: datetime) -> WebhookDeliveryQuerySet:
        """Those whose next attempt has come, at endpoints that are enabled, and that nobody is at."""
        free = Q(lease_until=None) | Q(lease_until__lte=at)
        return self.filter(
            free,
            state=DeliveryState.WAITING,
            next_attempt_at__lte=at,
            endpoint__in=WebhookEndpoint.objects.enabled().values("pk"),
        )

    def failed(self) -> WebhookDeliveryQuerySet:
        """Those that were given up, and those whose last attempt was not accepted."""
        return self.filter(Q(state=DeliveryState.FAILED) | Q(state=DeliveryState.WAITING, attempts__gt=0))


class WebhookDelivery(Row):
    """One event for one endpoint. `body` is what is signed and sent, the same at every attempt."""

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    event_uid = models.UUIDField()
    action = models.CharField(max_length=60)
    leaf = models.BigIntegerField(null=True)
    body = models.TextField()
    state = models.CharField(max_length=8, default="waiting")
    # How often it was tried since somebody last asked for it; the place in the schedule.
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempted_at = models.DateTimeField(null=True)
    accepted_at = models.DateTimeField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)
    outcome = models.CharField(max_length=20, blank=True, default="")
    answer = models.CharField(max_length=200, blank=True, default="")

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("state", DeliveryState), name="webhook_delivery_state_known"),
            models.UniqueConstraint("endpoint", "event_uid", name="webhook_delivery_once"),
            models.CheckConstraint(
                condition=~Q(state="waiting") | Q(next_attempt_at__isnull=False),
                name="webhook_delivery_waits_for_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index("next_attempt_at", condition=Q(state="waiting"), name="webhook_delivery_due"),
            models.Index(fields=["endpoint", "-created_at", "-id"], name="webhook_delivery_log"),
        ]

    def __str__(self) -> str:
        return f"{self.action} to {self.endpoint_id}"
