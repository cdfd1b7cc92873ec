"""Decide who sees the jobs, and who says how often they run. Pure; one condition a line; no rule means Deny."""

from __future__ import annotations

from datetime import datetime

from audit.actor import Actor
from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts
from keys.policy.rules import may_administer
from keys.states import Role


def may_read_jobs(who: ActorFacts) -> Decision:
    """Those who answer for the whole, and the shell."""
    if not who.active:
        return Deny("not_active", "jobs.active")
    if who.operator or who.has(Role.ADMINISTRATOR, Role.RESPONDER, Role.AUDITOR):
        return ALLOW
    return Deny("not_an_administrator", "jobs.role")


def may_change_schedule(actor: Actor, who: ActorFacts, *, at: datetime) -> Decision:
    """Administrators, with presence, and the shell: a job that runs too seldom is a promise that is kept too late."""
    return may_administer(actor, who, purpose="policy", at=at)
