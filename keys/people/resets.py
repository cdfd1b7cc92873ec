"""Take away somebody's factors: one administrator proposes, another confirms, the person is told and enrols anew."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from audit import clock
from audit.actor import Actor, ActorKind
from keys import text
from keys.errors import Conflict
from keys.events import FactorResetConfirmed, FactorResetDeclined, FactorResetProposed
from keys.models import FactorReset, Person
from keys.operations import insert, locked, operation, update
from keys.people.factors import is_settled, remove_all_factors
from keys.people.facts import person_facts
from keys.people.invitations import open_invitation
from keys.people.sessions import end_sessions_of
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.people_rules import may_decide_reset, may_propose_reset
from keys.states import InvitationPurpose

PROPOSAL_PERIOD = timedelta(hours=24)


@operation
def propose_factor_reset(person: Person, *, actor: Actor, reason: str) -> FactorReset:
    """Propose to take away all factors of somebody who lost them. Nothing changes until another confirms."""
    person = locked(person)
    at = clock.now()
    why = text.line(reason, "reason", most=500, least=10)
    enforce(may_propose_reset(actor, standing_of(actor, at=at), person_facts(person), at=at))
    standing = FactorReset.objects.filter(person=person, decided_at=None).first()
    if standing is not None and standing.lapses_at > at:
        raise Conflict("reset_already_proposed")
    if standing is not None:
        update(
            standing,
            FactorResetDeclined,
            actor=actor,
            at=at,
            columns={"decided_at": at},
            reason="lapsed",
            person=str(person.pk),
        )
    proposal = FactorReset(
        person=person, proposed_by_id=UUID(actor.id), reason=why, created_at=at, lapses_at=at + PROPOSAL_PERIOD
    )
    return insert(proposal, FactorResetProposed, actor=actor, at=at, person=str(person.pk))


@operation
def confirm_factor_reset(proposal: FactorReset, *, actor: Actor) -> None:
    """Take the factors away, end every session, and open an invitation to enrol new ones (the password stays)."""
    person = locked(proposal.person)
    proposal = locked(proposal)
    at = clock.now()
    _enforce_decision(proposal, actor=actor)
    update(
        proposal,
        FactorResetConfirmed,
        actor=actor,
        at=at,
        expected={"decided_at": None},
        columns={"decided_at": at, "decided_by_id": UUID(actor.id), "is_confirmed": True},
        person=str(person.pk),
    )
    remove_all_factors(person, actor=actor, at=at)
    end_sessions_of(person.pk, actor=actor, at=at)
    open_invitation(person, actor=actor, at=at, purpose=InvitationPurpose.FACTORS)


@operation
def decline_factor_reset(proposal: FactorReset, *, actor: Actor) -> None:
    """Leave the factors as they are."""
    proposal = locked(proposal)
    at = clock.now()
    # The person, or whoever proposed it, may always stop it; that takes nothing from anybody.
    if actor.kind != ActorKind.PERSON or actor.id not in (str(proposal.person_id), str(proposal.proposed_by_id)):
        _enforce_decision(proposal, actor=actor)
    if proposal.decided_at is not None:
        raise Conflict("reset_decided")
    update(
        proposal,
        FactorResetDeclined,
        actor=actor,
        at=at,
        expected={"decided_at": None},
        columns={"decided_at": at, "decided_by_id": UUID(actor.id)},
        person=str(proposal.person_id),
    )


def _enforce_decision(proposal: FactorReset, *, actor: Actor) -> None:
    at = clock.now()
    enforce(
        may_decide_reset(
            actor,
            standing_of(actor, at=at),
            person_id=proposal.person_id,
            proposed_by_id=proposal.proposed_by_id,
            factor_ready=is_settled(actor.auth.device, at=at),
            at=at,
        )
    )
    if proposal.decided_at is not None:
        raise Conflict("reset_decided")
    if proposal.lapses_at <= at:
        raise Conflict("reset_lapsed")
