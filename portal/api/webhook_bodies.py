"""Give what is sent and answered about webhooks its form. An address is often a secret, and whole only for who may change it."""

from __future__ import annotations

from typing import Any, cast

from rest_framework import serializers

from audit import clock
from keys.models import WebhookEndpoint
from keys.people.standing import standing_of
from keys.policy.webhook_rules import may_answer_for_webhook
from keys.states import DeliveryState, EndpointForm
from keys.webhooks.addresses import LONGEST, place_of
from portal.api.fields import Body, Text, Texts

S = serializers


class WebhookBody(Body):
    """Where to, and what of."""

    url = Text(max_length=LONGEST)
    kinds = Texts(most=500, longest=60)
    description = Text(max_length=120)


class NewWebhookBody(WebhookBody):
    """The same, and whose events: a team's, or with null the whole organisation's."""

    team = Text(max_length=40, allow_null=True)


class NewChatBody(WebhookBody):
    """Where a team's chat takes messages; `kinds` are families of messages: needs, reminders, changes, news."""

    team = Text(max_length=40)


class WebhookOut(S.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """An endpoint. Its address is whole only for those who may change it; its secret is never here."""

    id = S.UUIDField()
    team = S.SerializerMethodField()
    description = S.CharField()
    url = S.SerializerMethodField()
    form = S.ChoiceField(choices=[str(each) for each in EndpointForm])
    kinds = S.ListField(child=S.CharField())
    created_at = S.DateTimeField()
    secret_set_at = S.DateTimeField()
    previous_until = S.DateTimeField(allow_null=True)
    disabled_at = S.DateTimeField(allow_null=True)
    disabled_reason = S.CharField()

    def get_team(self, row: WebhookEndpoint) -> str | None:
        """Name the team, or null for the whole organisation."""
        return row.owner_team.slug if row.owner_team else None

    def get_url(self, row: WebhookEndpoint) -> str:
        """Show the address, without its path to those who only look."""
        known = cast("dict[str, Any]", self.context)  # one for all rows of a page: who asks is read once
        if "standing" not in known:
            known["standing"] = standing_of(known["actor"], at=clock.now())
        allowed = may_answer_for_webhook(known["standing"], team_id=row.owner_team_id)
        return row.url if allowed else place_of(row.url)


class FreshWebhookOut(S.Serializer):  # type: ignore[type-arg]
    """An endpoint with its new secret, shown this once."""

    webhook = WebhookOut()
    secret = S.CharField()


class DeliveryOut(S.Serializer):  # type: ignore[type-arg]
    """One event for one endpoint, and what came of it so far."""

    id = S.UUIDField()
    webhook = S.UUIDField(source="endpoint_id")
    event = S.UUIDField(source="event_uid")
    action = S.CharField()
    leaf = S.IntegerField(allow_null=True)
    state = S.ChoiceField(choices=[str(each) for each in DeliveryState])
    attempts = S.IntegerField()
    created_at = S.DateTimeField()
    next_attempt_at = S.DateTimeField(allow_null=True)
    attempted_at = S.DateTimeField(allow_null=True)
    accepted_at = S.DateTimeField(allow_null=True)
    status_code = S.IntegerField(allow_null=True)
    latency_ms = S.IntegerField(allow_null=True)
    outcome = S.CharField()
    answer = S.CharField()
