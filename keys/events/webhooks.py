"""List what can happen to webhooks: endpoints outside that are told of events."""

from __future__ import annotations

from audit.events import Event, Severity

WEBHOOK = frozenset(
    "id created_at owner_team_id url description form kinds secret_set_at previous_until disabled_at disabled_reason removed_at".split()
)


class WebhookAdded(Event):
    """Events are sent to another endpoint from now on."""

    action = "webhook.added"
    target_type = "webhook"
    severity = Severity.MEDIUM
    change_fields = WEBHOOK
    needs_mfa = True


class WebhookChanged(Event):
    """An endpoint got another address or description, or is told of other events."""

    action = "webhook.changed"
    target_type = "webhook"
    severity = Severity.MEDIUM
    change_fields = WEBHOOK
    needs_mfa = True


class WebhookSecretRotated(Event):
    """An endpoint got a new secret; until `previous_until` the one before signs too."""

    action = "webhook.secret-rotated"
    target_type = "webhook"
    severity = Severity.LOW
    change_fields = WEBHOOK
    needs_mfa = True


class WebhookDisabled(Event):
    """Nothing is sent to an endpoint any more: somebody stopped it, or it did not accept anything for days."""

    action = "webhook.disabled"
    target_type = "webhook"
    severity = Severity.MEDIUM
    change_fields = WEBHOOK
    needs_reason = True


class WebhookEnabled(Event):
    """An endpoint is told again, also of what it had not accepted before."""

    action = "webhook.enabled"
    target_type = "webhook"
    severity = Severity.LOW
    change_fields = WEBHOOK
    needs_mfa = True


class WebhookRemoved(Event):
    """An endpoint was removed, with its secrets; what was not accepted is not sent any more."""

    action = "webhook.removed"
    target_type = "webhook"
    severity = Severity.LOW
    change_fields = WEBHOOK
    needs_mfa = True


class WebhookRedelivered(Event):
    """Somebody had an event sent to an endpoint once more."""

    action = "webhook.redelivered"
    target_type = "webhook"
    severity = Severity.INFORMATIONAL

    event: str
    told: str


class WebhookTested(Event):
    """Somebody had a test event sent to an endpoint."""

    action = "webhook.tested"
    target_type = "webhook"
    severity = Severity.INFORMATIONAL
