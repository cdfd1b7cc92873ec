"""Decide who may hold the log, set how long it keeps what, and erase personal data. Pure; no rule means Deny."""

from __future__ import annotations

from datetime import datetime

from audit.actor import Actor
from keys.policy.decisions import Decision, Deny
from keys.policy.facts import ActorFacts
from keys.policy.people_rules import PersonFacts
from keys.policy.rules import may_administer
from keys.policy.step_up import needs_step_up
from keys.states import Role


def may_place_hold(actor: Actor, who: ActorFacts, *, at: datetime) -> Decision:
    """Auditors and administrators, with presence: a hold only keeps. The shell has no reason to."""
    if not who.active or who.person_id is None:
        return Deny("people_only", "hold.person")
    if not who.has(Role.AUDITOR, Role.ADMINISTRATOR):
        return Deny("not_an_auditor", "hold.role")
    return needs_step_up(actor, "retention", at=at)


def may_lift_hold(actor: Actor, who: ActorFacts, *, placed_by: str, at: datetime) -> Decision:
    """An administrator who did not place it: what one person held, that person alone does not let go."""
    if not who.active or who.person_id is None:
        return Deny("people_only", "hold.person")
    if not who.has(Role.ADMINISTRATOR):
        return Deny("not_an_administrator", "hold.role")
    if placed_by == named(actor):
        return Deny("hold_needs_another", "hold.separation")
    return needs_step_up(actor, "retention", at=at)


def may_set_periods(actor: Actor, who: ActorFacts, *, at: datetime) -> Decision:
    """Administrators; what is shorter then waits for another one."""
    if who.person_id is None:
        return Deny("people_only", "retention.person")
    return may_administer(actor, who, purpose="retention", at=at)


def may_decide_periods(actor: Actor, who: ActorFacts, *, proposed_by: str, accept: bool, at: datetime) -> Decision:
    """A second administrator accepts; any administrator refuses or takes back."""
    if accept and who.has(Role.ADMINISTRATOR) and proposed_by == named(actor):
        return Deny("second_administrator_for_periods", "retention.separation")
    return may_set_periods(actor, who, at=at)


def may_erase_person(
    actor: Actor, who: ActorFacts, person: PersonFacts, *, deactivated_by: str | None, at: datetime
) -> Decision:
    """Administrators and the shell erase others; nobody erases themselves, and no administrator whom they deactivated.

    What is erased is gone for good, as with shorter periods: one person alone shall not unmake another. `deactivated_by` is None
    where the log does not say it any more, which stands for anybody; the shell is left then.
    """
    if who.person_id == person.person_id:
        return Deny("not_yourself", "erasure.separation")
    if who.person_id is not None and not person.active and deactivated_by in (None, named(actor)):
        return Deny("erasure_needs_another", "erasure.separation")
    return may_administer(actor, who, purpose="people", at=at)


def named(actor: Actor) -> str:
    """Name an actor where the log's own tables do."""
    return f"{actor.kind}:{actor.id}"
