"""Read what rules need to know about a request."""

from __future__ import annotations

from uuid import UUID

from keys.models import Approval, KeyRequest, ManagedKey
from keys.policy.bounds import Rules
from keys.policy.facts import RequestFacts
from keys.states import EnvironmentClass, RequestState


def holders_of(key: ManagedKey | None) -> frozenset[UUID]:
    """The people who know a key's secrets: what its program asks for, they ask for; what prolongs it, they gain by."""
    if key is None:
        return frozenset()
    claimers = key.versions.values_list("claimed_by_id", flat=True)
    return frozenset(person for person in (key.recipient_id, *claimers) if person is not None)


def request_facts(request: KeyRequest, *, rules: Rules, decided: bool = True) -> RequestFacts:
    """The facts of a request; `decided` reads who already decided (leave it out when recounting those decisions)."""
    pairs = (
        list(Approval.objects.standing().filter(request=request).values_list("person_id", "seat_id")) if decided else []
    )
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
        decided_people=frozenset(person for person, _ in pairs),
        decided_seats=frozenset(seat for _, seat in pairs),
    )
