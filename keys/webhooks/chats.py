"""Add a chat of a team: an incoming webhook that is told in words, by the same rows, leases and retries as every endpoint."""

from __future__ import annotations

from collections.abc import Collection

from audit import clock
from audit.actor import Actor
from keys import text
from keys.events import WebhookAdded
from keys.models import Team, WebhookEndpoint
from keys.operations import insert, locked, operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.webhook_rules import may_change_webhook
from keys.states import EndpointForm
from keys.webhooks.addresses import checked_address
from keys.webhooks.endpoints import checked_kinds, refuse_if_no_room


@operation
def add_chat(team: Team, *, actor: Actor, url: str, kinds: Collection[str], description: str) -> WebhookEndpoint:
    """Tell a chat of a team from now on; `kinds` are families of messages. What may be an attack is told in any case."""
    team = locked(team)
    at = clock.now()
    enforce(may_change_webhook(actor, standing_of(actor, at=at), team_id=team.pk, at=at))
    refuse_if_no_room(team)
    endpoint = WebhookEndpoint(
        owner_team=team,
        url=checked_address(url),
        description=text.line(description, "description", most=120),
        form=str(EndpointForm.CHAT),
        kinds=checked_kinds(kinds, team_id=team.pk, form=EndpointForm.CHAT),
        secret_set_at=at,  # there is none; the address is what nobody else may know
        created_at=at,
    )
    return insert(endpoint, WebhookAdded, actor=actor, at=at)
