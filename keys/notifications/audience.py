"""Know whom an event concerns."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from keys.approvals.quorum import possible_approvers, rules_for
from keys.models import Approval, KeyRequest, KeyTransfer, ManagedKey, Membership, Person, Team
from keys.states import Role, TeamMail, TeamRole

People = set[UUID]


def people_in(team_id: UUID, role: TeamRole | None = None) -> People:
    """The active members of a team, or those with a role in it."""
    members = Membership.objects.living().filter(team_id=team_id)
    if role is not None:
        members = members.filter(roles__contains=[str(role)])
    return set(members.values_list("person_id", flat=True))


def people_with(*roles: Role) -> People:
    """The active people with any of these roles for the whole organisation."""
    return set(Person.objects.active().filter(roles__overlap=list(map(str, roles))).values_list("pk", flat=True))


def requesters(request: KeyRequest) -> People:
    """Who asked, and who will receive."""
    return _known((request.requester_id, request.recipient_id))


def approvers(request: KeyRequest) -> People:
    """Who can decide and has not."""
    sides = possible_approvers(request, rules_for(request))
    decided = set(Approval.objects.standing().filter(request=request).values_list("person_id", flat=True))
    return {person.pk for people in sides.values() for person in people} - decided


def owners(key: ManagedKey) -> People:
    """The recipient and those of the owner team whom it chose."""
    return _known((key.recipient_id,)) | people_chosen(key.owner_team_id)


def people_chosen(team_id: UUID) -> People:
    """Those of a team who are mailed about its keys: the leads, or all members."""
    for_all = Team.objects.filter(pk=team_id, mail_to=TeamMail.MEMBERS).exists()
    return people_in(team_id, None if for_all else TeamRole.LEAD)


def everyone_concerned(key: ManagedKey) -> People:
    """All owners, the leads of the service's team, responders and administrators: for what may be an attack."""
    return (
        people_in(key.owner_team_id)
        | people_in(key.service.owner_team_id, TeamRole.LEAD)
        | people_with(Role.RESPONDER, Role.ADMINISTRATOR)
        | owners(key)
    )


def receiving_leads(transfer: KeyTransfer) -> People:
    """Who can accept a key for the receiving team."""
    return people_in(transfer.to_team_id, TeamRole.LEAD)


def _known(people: Iterable[UUID | None]) -> People:
    return {person for person in people if person is not None}
