"""Add, change, stop and remove the endpoints that are told of events, and replace their secrets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from audit import clock
from audit.actor import Actor
from keys import text
from keys.crypto.secrets import Secret
from keys.errors import Conflict, Invalid
from keys.events import (
    WebhookAdded,
    WebhookChanged,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRemoved,
    WebhookSecretRotated,
)
from keys.models import Team, WebhookEndpoint
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.webhook_rules import may_answer_for_webhook, may_change_webhook
from keys.states import EndpointForm, MessageFamily
from keys.webhooks.addresses import checked_address
from keys.webhooks.queue import restart_unaccepted
from keys.webhooks.reach import kinds_for
from keys.webhooks.secrets import mint, seal_secret

# How long the secret before signs beside the new one, so that receivers change over without losing anything.
OVERLAP: Final = timedelta(hours=24)
MOST_ENDPOINTS: Final = 20
STOPPED: Final = "stopped"


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """An endpoint with the secret that was just made for it; it is shown now and never again."""

    endpoint: WebhookEndpoint
    secret: Secret = field(repr=False)


@operation
def add_endpoint(team: Team | None, *, actor: Actor, url: str, kinds: Collection[str], description: str) -> Fresh:
    """Tell an endpoint of a team's events from now on; without a team, of the whole organisation's."""
    team = locked(team) if team is not None else None
    at = clock.now()
    team_id = team.pk if team is not None else None
    enforce(may_change_webhook(actor, standing_of(actor, at=at), team_id=team_id, at=at))
    refuse_if_no_room(team)
    secret = mint()
    endpoint = WebhookEndpoint(
        owner_team=team,
        url=checked_address(url),
        description=text.line(description, "description", most=120),
        kinds=checked_kinds(kinds, team_id=team_id),
        secret_set_at=at,
        created_at=at,
    )
    endpoint.sealed_secret = seal_secret(secret, endpoint_id=endpoint.pk)
    return Fresh(endpoint=insert(endpoint, WebhookAdded, actor=actor, at=at), secret=secret)


@operation
def change_endpoint(
    endpoint: WebhookEndpoint, *, actor: Actor, url: str, kinds: Collection[str], description: str
) -> WebhookEndpoint:
    """Change where an endpoint is, what it is called, and what it is told of."""
    endpoint = _living(locked(endpoint))
    at = clock.now()
    enforce(may_change_webhook(actor, standing_of(actor, at=at), team_id=endpoint.owner_team_id, at=at))
    columns = {
        "url": checked_address(url),
        "description": text.line(description, "description", most=120),
        "kinds": checked_kinds(kinds, team_id=endpoint.owner_team_id, form=EndpointForm(endpoint.form)),
    }
    if all(getattr(endpoint, name) == value for name, value in columns.items()):
        return endpoint
    return update(endpoint, WebhookChanged, actor=actor, at=at, expected={"removed_at": None}, columns=columns)


@operation
def rotate_endpoint_secret(endpoint: WebhookEndpoint, *, actor: Actor) -> Fresh:
    """Give an endpoint a new secret; both sign for a day."""
    endpoint = _living(locked(endpoint))
    at = clock.now()
    enforce(may_change_webhook(actor, standing_of(actor, at=at), team_id=endpoint.owner_team_id, at=at))
    if endpoint.form == EndpointForm.CHAT:
        raise Conflict("chat_has_no_secret")
    secret = mint()
    columns = {
        "sealed_secret": seal_secret(secret, endpoint_id=endpoint.pk),
        "previous_secret": endpoint.sealed_secret,
    }
    # Sealed secrets are in no event, so they are written beside the columns that one tells.
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**columns)
    told = {"secret_set_at": at, "previous_until": at + OVERLAP}
    update(endpoint, WebhookSecretRotated, actor=actor, at=at, expected={"removed_at": None}, columns=told)
    return Fresh(endpoint=endpoint, secret=secret)


@operation
def disable_endpoint(endpoint: WebhookEndpoint, *, actor: Actor) -> WebhookEndpoint:
    """Send nothing more to an endpoint; what was not accepted waits."""
    endpoint = _living(locked(endpoint))
    at = clock.now()
    enforce(may_answer_for_webhook(standing_of(actor, at=at), team_id=endpoint.owner_team_id))
    if endpoint.disabled_at is not None:
        return endpoint
    columns = {"disabled_at": at, "disabled_reason": STOPPED}
    unchanged = {"disabled_at": None, "removed_at": None}
    return update(endpoint, WebhookDisabled, actor=actor, at=at, reason=STOPPED, expected=unchanged, columns=columns)


@operation
def enable_endpoint(endpoint: WebhookEndpoint, *, actor: Actor) -> WebhookEndpoint:
    """Tell an endpoint again, of what it has not accepted first. What happened while it was disabled is not made up for."""
    endpoint = _living(locked(endpoint))
    at = clock.now()
    enforce(may_change_webhook(actor, standing_of(actor, at=at), team_id=endpoint.owner_team_id, at=at))
    if endpoint.disabled_at is None:
        return endpoint
    columns = {"disabled_at": None, "disabled_reason": ""}
    update(endpoint, WebhookEnabled, actor=actor, at=at, expected={"removed_at": None}, columns=columns)
    restart_unaccepted(endpoint, at=at)
    return endpoint


@operation
def remove_endpoint(endpoint: WebhookEndpoint, *, actor: Actor) -> None:
    """End an endpoint; its secrets are deleted, its log stays for a while."""
    endpoint = _living(locked(endpoint))
    at = clock.now()
    enforce(may_change_webhook(actor, standing_of(actor, at=at), team_id=endpoint.owner_team_id, at=at))
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(sealed_secret="", previous_secret="")
    columns = {"removed_at": at}
    update(endpoint, WebhookRemoved, actor=actor, at=at, expected={"removed_at": None}, columns=columns)


def _living(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    if endpoint.removed_at is not None:
        raise Conflict("webhook_removed")
    return endpoint


def refuse_if_no_room(team: Team | None) -> None:
    """Refuse another endpoint to a team that has ended or has very many."""
    if team is not None and team.retired_at is not None:
        raise Conflict("team_retired")
    if WebhookEndpoint.objects.living().filter(owner_team=team).count() >= MOST_ENDPOINTS:
        raise Invalid.field("url", "too_many", most=MOST_ENDPOINTS)


def checked_kinds(kinds: Collection[str], *, team_id: object, form: EndpointForm = EndpointForm.EVENTS) -> list[str]:
    """Sort and check what an endpoint wants to be told: events it may know, or families of messages for a chat."""
    wanted = sorted(set(kinds))
    known = MessageFamily if form == EndpointForm.CHAT else kinds_for(whole_organisation=team_id is None)
    if not wanted:
        raise Invalid.field("kinds", "required")
    if set(wanted) - {str(each) for each in known}:
        raise Invalid.field("kinds", "unknown_choice")
    return wanted
