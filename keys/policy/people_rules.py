"""Decide who may do what to people, teams, delegates and factors. Pure; one condition a line; no rule means Deny."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from audit.actor import Actor, ActorKind
from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts
from keys.policy.rules import may_administer
from keys.policy.step_up import needs_step_up
from keys.states import Role, TeamRole

NEW_FACTOR_PERIOD = timedelta(hours=24)
LONGEST_DELEGATION = timedelta(days=60)
# What a factor decides for others; a stolen session must not enrol a factor and approve with it at once.
DECIDING_PURPOSES = frozenset({"approve", "reinstate", "policy"})


@dataclass(frozen=True, kw_only=True)
class PersonFacts:
    """The person an act is about. `is_last_administrator`: nobody else active could administer."""

    person_id: UUID
    active: bool
    roles: frozenset[Role]
    is_last_administrator: bool = False


def may_invite(actor: Actor, who: ActorFacts, *, at: datetime) -> Decision:
    """Administrators give people a place."""
    return may_administer(actor, who, purpose="people", at=at)


def may_change_roles(
    actor: Actor, who: ActorFacts, person: PersonFacts, roles: Collection[Role], *, at: datetime
) -> Decision:
    """Administrators set the roles of others, never their own, and somebody always remains."""
    if who.person_id == person.person_id:
        return Deny("not_your_own_roles", "people.separation")
    if person.is_last_administrator and Role.ADMINISTRATOR not in roles:
        return Deny("last_administrator", "people.last-administrator")
    return may_administer(actor, who, purpose="people", at=at)


def may_deactivate(actor: Actor, who: ActorFacts, person: PersonFacts, *, at: datetime) -> Decision:
    """Administrators end the place of others; the last administrator's place does not end."""
    if who.person_id == person.person_id:
        return Deny("not_yourself", "people.separation")
    if person.is_last_administrator:
        return Deny("last_administrator", "people.last-administrator")
    return may_administer(actor, who, purpose="people", at=at)


def may_reactivate(actor: Actor, who: ActorFacts, person: PersonFacts, *, at: datetime) -> Decision:
    """Administrators give a place back to others."""
    if who.person_id == person.person_id:
        return Deny("not_yourself", "people.separation")
    return may_administer(actor, who, purpose="people", at=at)


def may_rename(actor: Actor, who: ActorFacts, person: PersonFacts, *, at: datetime) -> Decision:
    """People change their own name; an administrator anybody's."""
    if who.active and who.person_id == person.person_id:
        return ALLOW
    return may_administer(actor, who, purpose="people", at=at)


def may_change_membership(
    actor: Actor,
    who: ActorFacts,
    *,
    team_id: UUID,
    person_id: UUID,
    added: Collection[TeamRole],
    at: datetime,
) -> Decision:
    """Administrators, and leads of the team; nobody gives themselves a seat that decides."""
    if not who.active:
        return Deny("not_active", "team.active")
    if who.person_id == person_id and {TeamRole.APPROVER, TeamRole.LEAD} & set(added):
        return Deny("not_your_own_roles", "team.separation")
    if who.operator or who.has(Role.ADMINISTRATOR):
        return may_administer(actor, who, purpose="people", at=at)
    if not who.is_lead_of(team_id):
        return Deny("not_a_lead", "team.role")
    if TeamRole.LEAD in added:
        return Deny("administrators_only", "team.lead")
    return needs_step_up(actor, "people", at=at)


def may_name_delegate(
    actor: Actor,
    who: ActorFacts,
    *,
    person_id: UUID,
    delegate: PersonFacts,
    starts_at: datetime,
    ends_at: datetime,
    at: datetime,
) -> Decision:
    """People name a colleague for their own absence, for a while, with presence."""
    if not who.active or who.person_id is None:
        return Deny("not_active", "delegate.active")
    if who.person_id != person_id:
        return Deny("not_your_own", "delegate.own")
    if delegate.person_id == person_id:
        return Deny("not_yourself", "delegate.another")
    if not delegate.active:
        return Deny("person_not_active", "delegate.active")
    if ends_at <= max(starts_at, at):
        return Deny("span_empty", "delegate.span")
    if ends_at - starts_at > LONGEST_DELEGATION:
        return Deny("span_too_long", "delegate.span", {"most_days": LONGEST_DELEGATION.days})
    return needs_step_up(actor, "people", at=at)


def may_end_delegation(who: ActorFacts, *, person_id: UUID, delegate_id: UUID) -> Decision:
    """Either side, or an administrator: it only takes power away, so it needs no presence."""
    if not who.active:
        return Deny("not_active", "delegate.active")
    if who.person_id in (person_id, delegate_id) or who.has(Role.ADMINISTRATOR) or who.operator:
        return ALLOW
    return Deny("not_your_own", "delegate.own")


def may_change_own_factors(actor: Actor, *, person_id: UUID, has_factor: bool, at: datetime) -> Decision:
    """People change their own factors, with the presence of one they have; the first is guarded by the invitation."""
    if actor.kind != ActorKind.PERSON or actor.id != str(person_id):
        return Deny("not_your_own", "factors.own")
    if not has_factor:
        return ALLOW
    return needs_step_up(actor, "factors", at=at)


def may_change_password(actor: Actor, *, person_id: UUID, active: bool, at: datetime) -> Decision:
    """People change their own password, with both factors and presence: a session left open changes nothing."""
    if actor.kind != ActorKind.PERSON or actor.id != str(person_id) or not actor.auth.mfa or not active:
        return Deny("not_your_own", "password.own")
    return needs_step_up(actor, "factors", at=at)


def may_remove_factor(actor: Actor, *, person_id: UUID, left: int, at: datetime) -> Decision:
    """People remove a factor of theirs while another is left."""
    if left < 1:
        return Deny("last_factor", "factors.last")
    return may_change_own_factors(actor, person_id=person_id, has_factor=True, at=at)


def may_propose_reset(actor: Actor, who: ActorFacts, person: PersonFacts, *, at: datetime) -> Decision:
    """An administrator proposes to take away the factors of somebody else."""
    if who.person_id is None:
        return Deny("people_only", "factor-reset.person")
    if who.person_id == person.person_id:
        return Deny("not_yourself", "factor-reset.separation")
    if not person.active:
        return Deny("person_not_active", "factor-reset.active")
    return may_administer(actor, who, purpose="people", at=at)


def may_decide_reset(
    actor: Actor, who: ActorFacts, *, person_id: UUID, proposed_by_id: UUID, factor_ready: bool, at: datetime
) -> Decision:
    """A second administrator decides: not the proposer, not the person, not with a factor of today."""
    if who.person_id is None:
        return Deny("people_only", "factor-reset.person")
    if who.person_id == person_id:
        return Deny("not_yourself", "factor-reset.separation")
    if who.person_id == proposed_by_id:
        return Deny("needs_a_second_administrator", "factor-reset.separation")
    if not factor_ready:
        return Deny("factor_too_new", "factor-reset.factor-age")
    return may_administer(actor, who, purpose="people", at=at)


def may_prove(*, purpose: str, approves_from: datetime | None, at: datetime) -> Decision:
    """A factor that was added to an account, or enrolled after a reset, decides nothing for others for a day."""
    if purpose in DECIDING_PURPOSES and (approves_from is None or at < approves_from):
        return Deny("factor_too_new", "factors.age", {"hours": int(NEW_FACTOR_PERIOD.total_seconds() // 3600)})
    return ALLOW


def approves_from(*, is_first: bool, after_reset: bool, at: datetime) -> datetime:
    """When a factor enrolled at `at` begins to decide: at once if it came with the invitation, else a day later."""
    return at if is_first and not after_reset else at + NEW_FACTOR_PERIOD
