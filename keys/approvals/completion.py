"""End a request: with a key when the quorum is there, or void what was approved when the content changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from audit.actor import Actor
from keys.approvals.content import Content, content_of
from keys.approvals.quorum import lock_approvers, progress_of, rules_for
from keys.approvals.transitions import move_request
from keys.errors import Conflict
from keys.events import ApprovalVoided, RequestApproved
from keys.lifecycle.issuance import create_key
from keys.lifecycle.renewal import renew_key
from keys.models import Approval, Environment, KeyRequest, ManagedKey, Membership, Scope, Service, Team
from keys.operations import update
from keys.policy.bounds import Rules, problems
from keys.states import Origin, RequestState


def complete_if_enough(request: KeyRequest, *, actor: Actor, at: datetime) -> ManagedKey | None:
    """Recount, and create (or renew) exactly what was approved if the quorum stands; part of a larger operation."""
    lock_approvers(request)
    rules = rules_for(request)
    if not progress_of(request, rules, at=at).is_complete:
        return None
    content = content_of(request.content)
    if content.digest != request.digest:
        raise Conflict("content_does_not_match_digest")
    if problems(content.wish, rules):
        raise Conflict("policy_forbids_now")
    _lock_what_it_opens(request, content)
    standing = Approval.objects.standing().filter(request=request).values_list("pk", flat=True)
    move_request(
        request,
        RequestState.APPROVED,
        RequestApproved,
        actor=actor,
        at=at,
        approvals=tuple(str(each) for each in standing),
    )
    if request.renews is not None:
        return renew_key(
            request.renews,
            request=request,
            opens=(content.scopes, content.networks),
            cryptoperiod_days=content.cryptoperiod_days,
            authorised_days=content.authorised_days,
            actor=actor,
            at=at,
        )
    return _create(request, content, rules, actor=actor, at=at)


def _lock_what_it_opens(request: KeyRequest, content: Content) -> None:
    """Hold the service, its scopes and the receiving team as they are until the key exists; refuse what is ending.

    A plan to retire them takes the same locks, so it either sees the new key or is seen here.
    """
    service = Service.objects.select_for_update(no_key=True).get(pk=request.service_id)
    scopes = (
        Scope.objects.select_for_update(no_key=True).filter(service=service, name__in=content.scopes).order_by("pk")
    )
    if any(row.retires_at or row.retired_at for row in (service, *scopes)):
        raise Conflict("service_retiring")
    team = Team.objects.select_for_update(no_key=True).get(pk=request.owner_team_id)
    receives = Membership.objects.living().filter(team=team, person_id=request.recipient_id).exists()
    if team.retired_at is not None or not receives:
        raise Conflict("recipient_left")


def _create(request: KeyRequest, content: Content, rules: Rules, *, actor: Actor, at: datetime) -> ManagedKey:
    verifies = content.verifies or {}
    return create_key(
        claim_until=at + timedelta(hours=rules.claim_hours),
        actor=actor,
        at=at,
        name=content.name,
        owner_team=request.owner_team,
        recipient=request.recipient,
        consumer=content.consumer,
        service=request.service,
        environment=request.environment,
        policy=request.policy,
        request=request,
        origin=str(Origin.REQUEST),
        kind=content.kind,
        public_key=content.public_key or "",
        scopes=list(content.scopes),
        networks=list(content.networks),
        limits=content.limits,
        rotation=content.rotation,
        self_fetch=content.self_fetch,
        cryptoperiod_days=content.cryptoperiod_days,
        authorised_until=at + timedelta(days=content.authorised_days),
        verifies_service=Service.objects.get(slug=verifies["service"]) if verifies else None,
        verifies_environment=Environment.objects.get(tag=verifies["environment"]) if verifies else None,
    )


def void_approvals(
    request: KeyRequest, *, actor: Actor, at: datetime, in_the_way_of: tuple[UUID, UUID] | None = None
) -> None:
    """Let no decision about the old content count for the new; or those give way that stand in a person's or a seat's."""
    rows = Approval.objects.standing().filter(request=request)
    if in_the_way_of is not None:
        person, seat = in_the_way_of
        rows = rows.filter(Q(person_id=person) | Q(seat_id=seat))
    for approval in rows.select_for_update(no_key=True):
        update(
            approval,
            ApprovalVoided,
            actor=actor,
            at=at,
            expected={"voided_at": None},
            columns={"voided_at": at},
            environment=request.environment.tag,
        )
