"""Ask whether an actor proved their presence for this purpose a moment ago (NIST SP 800-63B-4, reauthentication)."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit.actor import Actor, ActorKind
from keys.policy.decisions import ALLOW, Decision, Deny

STEP_UP_PERIOD = timedelta(minutes=5)


def has_step_up(actor: Actor, purpose: str, *, at: datetime) -> bool:
    """Whether a second factor was given for exactly this purpose within the last five minutes."""
    return any(step.purpose == purpose and at - STEP_UP_PERIOD <= step.at <= at for step in actor.auth.step_ups)


def needs_step_up(actor: Actor, purpose: str, *, at: datetime) -> Decision:
    """Deny a person without a fresh step-up. Only people can step up; shells and jobs are told apart by their rules."""
    if actor.kind != ActorKind.PERSON:
        return ALLOW
    if has_step_up(actor, purpose, at=at):
        return ALLOW
    return Deny("step_up_required", "step-up", {"purpose": purpose})


def but_for_step_up(decision: Decision) -> bool:
    """Whether it is allowed, or only presence is missing: the form asks for that."""
    return not isinstance(decision, Deny) or decision.code == "step_up_required"
