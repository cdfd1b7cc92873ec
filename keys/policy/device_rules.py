"""Decide who may sign a device in. Pure; one condition a line; no rule means Deny."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from audit.actor import Actor
from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts
from keys.policy.step_up import needs_step_up

DEVICE: Final = "device"


def presence_for(sign_in_id: UUID) -> str:
    """Name the step-up that opens this one sign-in: presence that was given for another counts for nothing here."""
    return f"{DEVICE}_{sign_in_id.hex}"


def may_answer_device(actor: Actor, who: ActorFacts, *, person_id: UUID | None) -> Decision:
    """Whoever typed the code, in a browser with both factors; a device signs in no other device."""
    if not who.active or who.person_id is None or not actor.auth.mfa:
        return Deny("people_only", "device.person")
    if DEVICE in actor.auth.methods:
        return Deny("people_only", "device.browser")
    if who.person_id != person_id:
        return Deny("not_your_own", "device.own")
    return ALLOW


def may_allow_device(
    actor: Actor, who: ActorFacts, *, person_id: UUID | None, sign_in_id: UUID, at: datetime
) -> Decision:
    """The same person, with presence for exactly this machine."""
    decision = may_answer_device(actor, who, person_id=person_id)
    return needs_step_up(actor, presence_for(sign_in_id), at=at) if decision else decision
