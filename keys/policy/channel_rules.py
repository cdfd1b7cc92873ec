"""Decide who may say how people are told. Pure; one condition a line; no rule means Deny."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from audit.actor import Actor
from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts
from keys.policy.step_up import needs_step_up
from keys.states import Role


def may_choose_quiet(who: ActorFacts, *, person_id: UUID) -> Decision:
    """People choose for themselves: nobody makes a colleague deaf."""
    if not who.active or who.person_id is None:
        return Deny("people_only", "channels.person")
    if who.person_id != person_id:
        return Deny("not_your_own", "channels.own")
    return ALLOW


def may_choose_team_mail(who: ActorFacts, *, team_id: UUID) -> Decision:
    """Leads choose for their team, administrators for any."""
    if not who.active or who.person_id is None:
        return Deny("people_only", "channels.person")
    if not who.is_lead_of(team_id) and not who.has(Role.ADMINISTRATOR):
        return Deny("not_a_lead", "channels.team")
    return ALLOW


def may_make_feed(actor: Actor, who: ActorFacts, *, person_id: UUID, team_id: UUID | None, at: datetime) -> Decision:
    """People, with presence, for themselves or a team they are in: the address reads on when the session is long over."""
    decision = may_remove_feed(who, person_id=person_id)
    if decision and team_id is not None and not who.is_in(team_id):
        return Deny("not_your_team", "channels.feed-team")
    return needs_step_up(actor, "export", at=at) if decision else decision


def may_remove_feed(who: ActorFacts, *, person_id: UUID) -> Decision:
    """Whoever made it: it only takes away, so it needs no presence."""
    if not who.active or who.person_id is None:
        return Deny("people_only", "channels.person")
    if who.person_id != person_id:
        return Deny("not_your_own", "channels.own")
    return ALLOW
