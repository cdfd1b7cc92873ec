"""Ask for a key, change one's mind, take it back, remind."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from audit import clock
from audit.actor import Actor
from keys.approvals.completion import complete_if_enough, void_approvals
from keys.approvals.content import Content
from keys.approvals.drafting import Draft, Prepared, prepare
from keys.approvals.facts import request_facts
from keys.approvals.quorum import possible_approvers, rules_for
from keys.approvals.transitions import move_request
from keys.catalogue.policies import current_policy
from keys.crypto.public_keys import as_pem
from keys.errors import Conflict, Invalid, Told
from keys.events import RequestEdited, RequestLapsed, RequestNudged, RequestSubmitted, RequestWithdrawn
from keys.models import KeyRequest, ManagedKey
from keys.models.base import next_number
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.bounds import Problem
from keys.policy.enforcement import enforce
from keys.policy.facts import ActorFacts
from keys.policy.rotation_plan import plan_in
from keys.policy.rules import NUDGE_PERIOD, is_open, may_change_request, may_request
from keys.states import OPEN_REQUEST_STATES, RequestState
from keys.text import paragraph


@operation(grants="sometimes")
def submit_request(draft: Draft, *, actor: Actor) -> KeyRequest:
    """Ask for a key. Where the policy asks for no approval, the key exists when this returns."""
    at = clock.now()
    return _submit(prepare(draft, actor=actor), actor=actor, at=at)


@operation(grants="sometimes")
def request_renewal(
    key: ManagedKey, *, authorised_days: int, purpose: str, ticket: str = "", actor: Actor
) -> KeyRequest:
    """Ask that `key` stay authorised for `authorised_days` from the approval on; everything else stays as it is."""
    key = locked(key)
    at = clock.now()
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    if KeyRequest.objects.open(at).filter(renews=key).exists():
        raise Conflict("renewal_waiting")
    prepared = _prepare_renewal(
        key, authorised_days=authorised_days, purpose=purpose, ticket=ticket, actor=actor, at=at
    )
    return _submit(prepared, actor=actor, at=at, renews=key)


def faults_of_renewal(
    key: ManagedKey, *, authorised_days: int, purpose: str, ticket: str, actor: Actor
) -> dict[str, Problem]:
    """Everything for which a renewal would be refused: what a form says beside what it cannot read itself."""
    told, at = Told(), clock.now()
    told.read(
        None,
        _prepare_renewal,
        key,
        authorised_days=authorised_days,
        purpose=purpose,
        ticket=ticket,
        actor=actor,
        at=at,
    )
    return told.wrong


def _prepare_renewal(
    key: ManagedKey, *, authorised_days: int, purpose: str, ticket: str, actor: Actor, at: datetime
) -> Prepared:
    told = Told()
    if at + timedelta(days=authorised_days) <= key.authorised_until:
        told.add({"authorised_days": ("renewal_shortens", {})})
    policy = current_policy(key.service, key.environment)
    longest = policy.max_cryptoperiod_days if policy else key.cryptoperiod_days
    cryptoperiod_days = max(1, min(key.cryptoperiod_days, authorised_days, longest))
    plan = plan_in(key.rotation).within(cryptoperiod_days)
    draft = Draft(
        service=key.service.slug,
        environment=key.environment.tag,
        owner_team=key.owner_team.slug,
        name=key.name,
        consumer=key.consumer,
        purpose=purpose,
        cryptoperiod_days=cryptoperiod_days,
        authorised_days=authorised_days,
        scopes=tuple(key.scopes),
        networks=tuple(key.networks),
        ticket=ticket,
        kind=key.kind,
        recipient=key.recipient_id,
        self_fetch=key.self_fetch,
        overlap=str(plan.overlap) if key.rotation is not None else "",
        every_days=plan.every_days,
        verifies_service=key.verifies_service.slug if key.verifies_service else "",
        verifies_environment=key.verifies_environment.tag if key.verifies_environment else "",
        limits=key.limits,
        public_key=as_pem(key.public_key) if key.public_key else "",
    )
    prepared = told.read(None, prepare, draft, actor=actor, renews=str(key.pk))
    if prepared is None or told.wrong:
        raise Invalid(told.wrong)
    return prepared


def _submit(prepared: Prepared, *, actor: Actor, at: datetime, renews: ManagedKey | None = None) -> KeyRequest:
    who = standing_of(actor, at=at)
    enforce(may_request(who, owner_team_id=prepared.owner_team.pk, environment_id=prepared.environment.pk))
    request = KeyRequest(
        number=next_number("keys_request_number"),
        created_at=at,
        requester_id=who.person_id,
        requested_by_key_id=who.key_id,
        renews=renews,
        lapses_at=at + timedelta(days=prepared.policy.lapse_days),
        **_columns(prepared, who),
    )
    insert(request, RequestSubmitted, actor=actor, at=at, environment=prepared.environment.tag)
    _refuse_if_nobody_can_approve(request)
    complete_if_enough(request, actor=actor, at=at)
    return request


def _columns(prepared: Prepared, who: ActorFacts) -> dict[str, Any]:
    content: Content = prepared.content
    return {
        "recipient": prepared.recipient,
        "last_editor_id": who.person_id,
        "owner_team": prepared.owner_team,
        "service": prepared.service,
        "environment": prepared.environment,
        "policy": prepared.policy,
        "content": content.as_json(),
        "digest": content.digest,
        "purpose": prepared.purpose,
        "purpose_salt": prepared.purpose_salt,
    }


def _refuse_if_nobody_can_approve(request: KeyRequest) -> None:
    """Say at once that a request can never be approved, instead of letting it wait for seven days."""
    rules = rules_for(request)
    sides = possible_approvers(request, rules)
    everybody = {person.pk for people in sides.values() for person in people}
    if len(everybody) < rules.approvals_required or len(sides.get("service", [])) < rules.service_approvals_required:
        raise Invalid.field(
            "service", "not_enough_approvers", required=rules.approvals_required, there_are=len(everybody)
        )


@operation(grants="sometimes")
def edit_request(request: KeyRequest, draft: Draft, *, actor: Actor) -> KeyRequest:
    """Replace the content of an open request: a new digest, and every approval so far is void."""
    request = locked(request)
    at = clock.now()
    who = standing_of(actor, at=at)
    _enforce_own_open(request, who, at=at)
    if request.renews_id is not None:
        raise Conflict("renewals_are_not_edited")
    prepared = prepare(draft, actor=actor)
    enforce(may_request(who, owner_team_id=prepared.owner_team.pk, environment_id=prepared.environment.pk))
    void_approvals(request, actor=actor, at=at)
    move_request(
        request,
        RequestState.PENDING,
        RequestEdited,
        actor=actor,
        at=at,
        columns={**_columns(prepared, who), "question": "", "revision": request.revision + 1},
    )
    _refuse_if_nobody_can_approve(request)
    complete_if_enough(request, actor=actor, at=at)
    return request


def _enforce_own_open(request: KeyRequest, who: ActorFacts, *, at: datetime) -> None:
    facts = request_facts(request, rules=rules_for(request))
    enforce(may_change_request(who, facts))
    if not is_open(facts, at=at):
        raise Conflict("request_not_open", state=request.state)


@operation
def withdraw_request(request: KeyRequest, *, actor: Actor, comment: str = "") -> KeyRequest:
    """Take an open request back."""
    request = locked(request)
    at = clock.now()
    _enforce_own_open(request, standing_of(actor, at=at), at=at)
    words = paragraph(comment, "comment")
    return move_request(request, RequestState.WITHDRAWN, RequestWithdrawn, actor=actor, at=at, comment=words)


@operation
def lapse_request(request: KeyRequest, *, actor: Actor) -> KeyRequest:
    """Write down that the time to decide is over; it ended by the clock already."""
    request = locked(request)
    at = clock.now()
    if RequestState(request.state) not in OPEN_REQUEST_STATES or request.lapses_at > at:
        raise Conflict("request_not_lapsed", state=request.state)
    return move_request(request, RequestState.LAPSED, RequestLapsed, actor=actor, at=at)


@operation
def nudge_request(request: KeyRequest, *, actor: Actor) -> KeyRequest:
    """Remind the approvers, at most twice a day."""
    request = locked(request)
    at = clock.now()
    _enforce_own_open(request, standing_of(actor, at=at), at=at)
    if request.nudged_at is not None and at - request.nudged_at < NUDGE_PERIOD:
        raise Conflict("nudged_already", again_at=(request.nudged_at + NUDGE_PERIOD).isoformat())
    return update(
        request, RequestNudged, actor=actor, at=at, columns={"nudged_at": at}, environment=request.environment.tag
    )
