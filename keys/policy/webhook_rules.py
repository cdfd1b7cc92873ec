"""Decide who may say where events are sent. Pure; one condition a line; no rule means Deny."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from audit.actor import Actor
from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts
from keys.policy.step_up import needs_step_up
from keys.states import Role


def may_answer_for_webhook(who: ActorFacts, *, team_id: UUID | None) -> Decision:
    """Leads for their team, administrators for everybody: stop an endpoint, test it, send it something again."""
    if not who.active or who.person_id is None:
        return Deny("only_people_change_webhooks", "webhook.person")
    if who.has(Role.ADMINISTRATOR):
        return ALLOW
    if team_id is None:
        return Deny("not_an_administrator", "webhook.organisation")
    if not who.is_lead_of(team_id):
        return Deny("not_a_lead", "webhook.team")
    return ALLOW


def may_change_webhook(actor: Actor, who: ActorFacts, *, team_id: UUID | None, at: datetime) -> Decision:
    """The same people, with presence: an address and a secret decide who learns what happens here."""
    decision = may_answer_for_webhook(who, team_id=team_id)
    return needs_step_up(actor, "webhooks", at=at) if decision else decision
