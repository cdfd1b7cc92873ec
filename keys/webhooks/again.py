"""Send something to an endpoint because a person asks for it: a test, or an event once more."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor
from audit.log import record
from keys.errors import Conflict
from keys.events import WebhookRedelivered, WebhookTested
from keys.models import WebhookDelivery, WebhookEndpoint
from keys.operations import locked, operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.webhook_rules import may_answer_for_webhook
from keys.webhooks import queue


@operation
def redeliver(delivery: WebhookDelivery, *, actor: Actor) -> WebhookDelivery:
    """Send an event once more, under the same webhook-id; its schedule begins again."""
    endpoint = locked(delivery.endpoint)
    at = clock.now()
    enforce(may_answer_for_webhook(standing_of(actor, at=at), team_id=endpoint.owner_team_id))
    _require_enabled(endpoint)
    queue.restart(delivery, at=at)
    event = WebhookRedelivered(target_id=str(endpoint.pk), event=str(delivery.event_uid), told=delivery.action)
    record(event, actor=actor, at=at)
    delivery.refresh_from_db()
    return delivery


@operation
def send_test_event(endpoint: WebhookEndpoint, *, actor: Actor) -> WebhookDelivery:
    """Have a test event sent to an endpoint."""
    endpoint = locked(endpoint)
    at = clock.now()
    enforce(may_answer_for_webhook(standing_of(actor, at=at), team_id=endpoint.owner_team_id))
    _require_enabled(endpoint)
    uid = record(WebhookTested(target_id=str(endpoint.pk)), actor=actor, at=at)
    return queue.queue_test(endpoint, uid=uid, at=at)


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.removed_at is not None:
        raise Conflict("webhook_removed")
    if endpoint.disabled_at is not None:
        raise Conflict("webhook_disabled")
