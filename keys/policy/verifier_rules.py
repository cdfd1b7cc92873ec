"""Decide who sees the verifiers. Pure; one condition a line; no rule means Deny."""

from __future__ import annotations

from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts
from keys.states import Role


def may_read_verifiers(who: ActorFacts) -> Decision:
    """Those who answer for the whole, and the shell."""
    if not who.active:
        return Deny("not_active", "verifiers.active")
    if who.operator or who.has(Role.ADMINISTRATOR, Role.RESPONDER, Role.AUDITOR):
        return ALLOW
    return Deny("not_an_administrator", "verifiers.role")
