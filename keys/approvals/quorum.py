"""Count the approvals that stand, by what is true now and not by what was true when each was given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from keys.approvals.facts import holders_of, request_facts
from keys.catalogue.policies import current_policy, rules_of
from keys.models import Approval, Delegation, KeyRequest, Membership, Person
from keys.people.standing import approvers_by_side, standing_of_person
from keys.policy.bounds import Rules, stricter
from keys.policy.rules import is_service_side, may_decide

APPROVING = ("approve", "narrow")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a request is from its quorum."""

    required: int
    given: int
    service_required: int
    service_given: int

    @property
    def is_complete(self) -> bool:
        return self.given >= self.required and self.service_given >= self.service_required

    @property
    def missing(self) -> int:
        return max(self.required - self.given, self.service_required - self.service_given, 0)


def rules_for(request: KeyRequest) -> Rules:
    """The rules that hold for a request: those it was made under or those in force now, of each the stricter."""
    asked_under = rules_of(request.policy)
    current = current_policy(request.service, request.environment)
    return stricter(asked_under, rules_of(current)) if current else asked_under


def lock_approvers(request: KeyRequest) -> None:
    """Hold the people and memberships the quorum rests on until the end of the transaction: a lost role counts at commit."""
    people = set(Approval.objects.standing().filter(request=request).values_list("person_id", "seat_id"))
    ids = {each for pair in people for each in pair}
    list(Person.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk").values_list("pk"))
    list(Delegation.objects.select_for_update(no_key=True).filter(person_id__in=ids).order_by("pk").values_list("pk"))
    list(Membership.objects.select_for_update(no_key=True).filter(person_id__in=ids).order_by("pk").values_list("pk"))


def progress_of(request: KeyRequest, rules: Rules, *, at: datetime) -> Progress:
    """Recount: an approval counts when it names this digest and its giver might still give it (DESIGN, invariant 7)."""
    given = of_service = 0
    facts = request_facts(request, rules=rules)
    for approval in Approval.objects.standing().filter(request=request, decision__in=APPROVING, digest=request.digest):
        who = standing_of_person(approval.person_id, at=at)
        if not may_decide(who, facts, seat=approval.seat_id):
            continue
        given += 1
        of_service += is_service_side(who, facts, seat=approval.seat_id)
    return Progress(
        required=rules.approvals_required,
        given=given,
        service_required=rules.service_approvals_required,
        service_given=of_service,
    )


def possible_approvers(request: KeyRequest, rules: Rules) -> dict[str, list[Person]]:
    """Who can approve this request, by side."""
    excluded: set[UUID | None] = {request.requester_id, request.recipient_id, request.last_editor_id}
    excluded |= holders_of(request.requested_by_key) | holders_of(request.renews)
    return approvers_by_side(
        service_team_id=request.service.owner_team_id, approver_team_id=rules.approver_team_id, excluded=excluded
    )
