"""Decide about a request: approve exactly this, narrow it, ask back, or deny."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from audit import clock
from audit.actor import Actor
from keys.approvals.completion import complete_if_enough, void_approvals
from keys.approvals.content import Content, content_of
from keys.approvals.facts import request_facts
from keys.approvals.networks import is_within, read_networks
from keys.approvals.quorum import rules_for
from keys.approvals.signing import Signature, check_signature, factor_may_approve, weight_of
from keys.approvals.transitions import move_request
from keys.errors import Conflict, Invalid
from keys.events import ApprovalGiven, RequestDenied, RequestNarrowed, RequestReturned
from keys.models import Approval, KeyRequest
from keys.operations import insert, locked, operation
from keys.people.standing import standing_of
from keys.policy.bounds import problems
from keys.policy.enforcement import enforce
from keys.policy.facts import ActorFacts, RequestFacts
from keys.policy.rotation_plan import plan_in
from keys.policy.rules import is_service_side, may_approve, seats_for
from keys.states import RequestState
from keys.text import paragraph


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """What an approver takes away; None leaves a part as it is."""

    scopes: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    cryptoperiod_days: int | None = None
    authorised_days: int | None = None
    self_fetch: bool | None = None


@dataclass(frozen=True)
class _Ruling:
    """An approver who may decide, and the seat and moment they do it from."""

    who: ActorFacts
    person_id: UUID
    facts: RequestFacts
    seat: UUID
    at: datetime


@operation(grants="always")
def approve_request(
    request: KeyRequest, *, digest: str, actor: Actor, signature: Signature | None = None, comment: str = ""
) -> KeyRequest:
    """Agree to exactly the content with `digest`. The approval that completes the quorum creates the key.

    Raises Conflict("content_changed") when the content is not what the approver saw.
    """
    request = locked(request)
    ruling = _rule(request, actor=actor, digest=digest, signature=signature)
    _verify(signature, request, "approve", digest=digest, actor=actor, at=ruling.at)
    _write(request, ruling, "approve", actor=actor, signature=signature, comment=comment)
    complete_if_enough(request, actor=actor, at=ruling.at)
    return request


@operation(grants="always")
def narrow_request(
    request: KeyRequest,
    narrowing: Narrowing,
    *,
    digest: str,
    actor: Actor,
    signature: Signature | None = None,
    comment: str = "",
) -> KeyRequest:
    """Agree to less than what was asked: a decision, not an edit. Earlier approvals are void, this one counts.

    `digest` is that of the content before; a signature is over the digest after (see `narrowed`).
    """
    request = locked(request)
    ruling = _rule(request, actor=actor, digest=digest, signature=signature)
    content = narrowed(content_of(request.content), narrowing)
    if wrong := problems(content.wish, rules_for(request)):
        raise Invalid(wrong)
    _verify(signature, request, "narrow", digest=content.digest, actor=actor, at=ruling.at)
    void_approvals(request, actor=actor, at=ruling.at)
    move_request(
        request,
        RequestState.PENDING,
        RequestNarrowed,
        actor=actor,
        at=ruling.at,
        columns={"content": content.as_json(), "digest": content.digest, "revision": request.revision + 1},
    )
    _write(request, ruling, "narrow", actor=actor, signature=signature, comment=comment)
    complete_if_enough(request, actor=actor, at=ruling.at)
    return request


def narrowed(content: Content, narrowing: Narrowing) -> Content:
    """The content after narrowing, proven to be a subset; raises Invalid when it would add anything or change nothing."""
    scopes = content.scopes if narrowing.scopes is None else tuple(sorted(set(narrowing.scopes)))
    networks = content.networks if narrowing.networks is None else read_networks(narrowing.networks)
    cryptoperiod = narrowing.cryptoperiod_days or content.cryptoperiod_days
    authorised = narrowing.authorised_days or content.authorised_days
    self_fetch = content.self_fetch if narrowing.self_fetch is None else narrowing.self_fetch
    if not scopes:
        raise Invalid.field("scopes", "required")
    if not set(scopes) <= set(content.scopes):
        raise Invalid.field("scopes", "not_narrower")
    if not is_within(networks, content.networks):
        raise Invalid.field("networks", "not_narrower")
    if not 1 <= cryptoperiod <= content.cryptoperiod_days:
        raise Invalid.field("cryptoperiod_days", "not_narrower")
    if not 1 <= authorised <= content.authorised_days:
        raise Invalid.field("authorised_days", "not_narrower")
    if self_fetch and not content.self_fetch:
        raise Invalid.field("self_fetch", "not_narrower")
    if content.renews and (scopes, networks, self_fetch) != (content.scopes, content.networks, content.self_fetch):
        raise Invalid.field("scopes", "renewals_keep_scopes")
    cryptoperiod = min(cryptoperiod, authorised)
    after = replace(
        content,
        scopes=scopes,
        networks=networks,
        cryptoperiod_days=cryptoperiod,
        authorised_days=authorised,
        self_fetch=self_fetch,
        rotation=content.rotation and plan_in(content.rotation).within(cryptoperiod).as_json(),
    )
    if after == content:
        raise Invalid.field("scopes", "nothing_narrowed")
    return after


@operation
def return_request(
    request: KeyRequest, *, digest: str, question: str, actor: Actor, signature: Signature | None = None
) -> KeyRequest:
    """Ask the requester back: the request waits for an edit, and what was approved stays visible until then."""
    words = paragraph(question, "question", least=3)
    return _end(request, "return", digest=digest, comment=words, actor=actor, signature=signature)


@operation
def deny_request(
    request: KeyRequest, *, digest: str, comment: str, actor: Actor, signature: Signature | None = None
) -> KeyRequest:
    """Refuse a request, with a reason that the requester reads. One approver's no is enough."""
    words = paragraph(comment, "comment", least=3)
    return _end(request, "deny", digest=digest, comment=words, actor=actor, signature=signature)


def _end(
    request: KeyRequest, decision: str, *, digest: str, comment: str, actor: Actor, signature: Signature | None
) -> KeyRequest:
    request = locked(request)
    ruling = _rule(request, actor=actor, digest=digest, signature=signature)
    _verify(signature, request, decision, digest=digest, actor=actor, at=ruling.at)
    _write(request, ruling, decision, actor=actor, signature=signature, comment=comment)
    if decision == "deny":
        return move_request(request, RequestState.DENIED, RequestDenied, actor=actor, at=ruling.at)
    return move_request(
        request, RequestState.RETURNED, RequestReturned, actor=actor, at=ruling.at, columns={"question": comment}
    )


def _rule(request: KeyRequest, *, actor: Actor, digest: str, signature: Signature | None) -> _Ruling:
    """Find out who decides and whether they may, before anything else is looked at or told."""
    at = clock.now()
    who = standing_of(actor, at=at)
    facts = request_facts(request, rules=rules_for(request), at=at)
    seats = seats_for(who, facts)
    seat = next(
        (each for each in seats if is_service_side(who, facts, seat=each)), seats[0] if seats else who.person_id
    )
    enforce(
        may_approve(
            actor,
            who,
            facts,
            seat=seat,
            factor_ready=factor_may_approve(actor, signature, at=at),
            signed=signature is not None,
            at=at,
        )
    )
    if digest != request.digest:
        raise Conflict("content_changed")
    assert seat is not None and who.person_id is not None  # noqa: PT018 - may_approve denied both
    return _Ruling(who, who.person_id, facts, seat, at)


def _verify(
    signature: Signature | None, request: KeyRequest, decision: str, *, digest: str, actor: Actor, at: datetime
) -> None:
    if signature is not None:
        check_signature(signature, request=request, digest=digest, decision=decision, actor=actor, at=at)


def _write(
    request: KeyRequest, ruling: _Ruling, decision: str, *, actor: Actor, signature: Signature | None, comment: str
) -> None:
    # The rule let them decide, so what is left in their place or the seat's counts no more: that delegation is over, or that role.
    void_approvals(request, actor=actor, at=ruling.at, in_the_way_of=(ruling.person_id, ruling.seat))
    approval = Approval(
        created_at=ruling.at,
        request=request,
        person_id=ruling.person_id,
        seat_id=ruling.seat,
        decision=decision,
        digest=request.digest,
        on_service_side=is_service_side(ruling.who, ruling.facts, seat=ruling.seat),
        comment=paragraph(comment, "comment"),
        method=weight_of(actor, signature),
        statement=signature.statement if signature else "",
        assertion=signature.assertion_json if signature else None,
    )
    delegated = ruling.seat != ruling.person_id
    insert(approval, ApprovalGiven, actor=actor, at=ruling.at, environment=request.environment.tag, delegated=delegated)
