"""Read what rules need to know about a request."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from keys.models import Approval, KeyRequest, ManagedKey
from keys.people.standing import standing_of_person
from keys.policy.bounds import Rules
from keys.policy.facts import RequestFacts
from keys.policy.rules import may_decide
from keys.states import EnvironmentClass, RequestState


def holders_of(key: ManagedKey | None) -> frozenset[UUID]:
    """The people who know a key's secrets: what its program asks for, they ask for; what prolongs it, they gain by."""
    if key is None:
        return frozenset()
    claimers = key.versions.values_list("claimed_by_id", flat=True)
    return frozenset(person for person in (key.recipient_id, *claimers) if person is not None)


def request_facts(request: KeyRequest, *, rules: Rules, at: datetime | None = None) -> RequestFacts:
    """The facts of a request; with `at`, also who has decided it by then, of decisions that still count."""
    facts = _facts(request, rules=rules)
    if at is None:
        return facts
    rows = [each for each in Approval.objects.standing().filter(request=request) if still_counts(each, facts, at=at)]
    return replace(
        facts,
        decided_people=frozenset(each.person_id for each in rows),
        decided_seats=frozenset(each.seat_id for each in rows),
    )


def still_counts(approval: Approval, facts: RequestFacts, *, at: datetime) -> bool:
    """Whether its giver might still give it, from that seat; `facts` without who decided. What counts no more binds nobody."""
    return bool(may_decide(standing_of_person(approval.person_id, at=at), facts, seat=approval.seat_id))


def _facts(request: KeyRequest, *, rules: Rules) -> RequestFacts:
    return RequestFacts(
        state=RequestState(request.state),
        lapses_at=request.lapses_at,
        digest=request.digest,
        requester_id=request.requester_id,
        requested_by_key_id=request.requested_by_key_id,
        recipient_id=request.recipient_id,
        editor_id=request.last_editor_id,
        behind_program=holders_of(request.requested_by_key),
        holders=holders_of(request.renews),
        owner_team_id=request.owner_team_id,
        service_team_id=request.service.owner_team_id,
        approver_team_id=rules.approver_team_id,
        environment_class=EnvironmentClass(request.environment.environment_class),
    )
