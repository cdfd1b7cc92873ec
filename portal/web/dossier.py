"""Put together what the page of one request shows: content, difference, risks, quorum, timeline, and what one may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.approvals.content import Content, content_of
from keys.approvals.difference import Power, held_by_team, power_of, risk_notes, template_of
from keys.approvals.facts import request_facts
from keys.approvals.quorum import APPROVING, Progress, possible_approvers, progress_of, rules_for
from keys.lifecycle.history import events_of_request
from keys.models import Approval, KeyRequest, ManagedKey, Person, Scope, Service
from keys.people.standing import standing_of
from keys.policy.bounds import Rules
from keys.policy.decisions import Decision
from keys.policy.rotation_plan import plan_in
from keys.policy.rules import is_open, may_change_request, may_decide, seats_for
from keys.reports.receipts import decisive_events, may_have_receipts
from keys.states import EnvironmentClass, RequestState
from portal.web.components import Change, Quorum, Seat, TimelineItem, difference
from portal.web.life import TOLD, told
from portal.web.reasons import why_not
from portal.web.rotation_words import PlanWords, plan_words
from portal.web.wording import METHODS, days_in_words, risk_words, service_in

DECIDED = (RequestState.APPROVED, RequestState.DENIED)
LABELS: Mapping[str, Promise] = {
    "scopes": gettext_lazy("Scopes"),
    "networks": gettext_lazy("Networks"),
    "cryptoperiod_days": gettext_lazy("Each secret lives for"),
    "authorised_days": gettext_lazy("Authorised for"),
}


@dataclass(frozen=True, kw_only=True)
class ReceiptLine:
    """One decision that a receipt can be had for."""

    uid: UUID
    words: str
    at: datetime
    is_sealed: bool


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """Everything one page says about one request to one person."""

    request: KeyRequest
    content: Content
    state: RequestState
    is_open: bool
    scopes: Sequence[Scope]
    verifies: str  # what the key may ask about, if it is to verify keys
    plan: PlanWords
    rules: Rules
    progress: Progress
    quorum: Quorum
    deciders: Mapping[str, Sequence[Person]]
    risks: Sequence[tuple[str, str]]
    held: Power
    held_changes: Sequence[Change]
    template_changes: Sequence[Change]
    timeline: Sequence[TimelineItem]
    receipts: Sequence[ReceiptLine]  # what may be taken as proof; nothing for those who only look on
    key: ManagedKey | None
    denial: str  # why it was denied, in the approver's words
    is_mine: bool
    may_change: bool
    may_decide: bool
    why_not: str  # why there is no button, for somebody who could expect one
    can_be_nudged_at: datetime | None
    at: datetime

    @property
    def environment(self) -> object:
        return self.request.environment

    @property
    def asked_by(self) -> str:
        if self.request.requester is not None:
            return self.request.requester.name
        return str(_("A program, with %(key)s")) % {"key": self.request.requested_by_key}


def dossier_of(request: KeyRequest, *, actor: Actor) -> Dossier:
    """Gather it; the same facts that the operation will decide by, read a moment earlier."""
    at = clock.now()
    content = content_of(request.content)
    rules = rules_for(request)
    scopes = list(Scope.objects.visible_to(actor).filter(service=request.service, name__in=content.scopes))
    progress = progress_of(request, rules, at=at)
    approvals = list(Approval.objects.visible_to(actor).filter(request=request).select_related("person", "seat"))
    held, template = held_by_team(request, at=at), template_of(request, content)
    environment_class = EnvironmentClass(request.environment.environment_class)
    who = standing_of(actor, at=at)
    facts = request_facts(request, rules=rules, at=at)
    seats = seats_for(who, facts)
    decision = may_decide(who, facts, seat=seats[0] if seats else who.person_id)
    pending = request.state == RequestState.PENDING and is_open(facts, at=at)
    open_now = is_open(facts, at=at)
    return Dossier(
        request=request,
        content=content,
        state=RequestState(request.state) if open_now or request.decided_at is not None else RequestState.LAPSED,
        is_open=open_now,
        scopes=sorted(scopes, key=lambda scope: scope.name),
        verifies=_verifies(content, request, actor=actor),
        plan=plan_words(plan_in(content.rotation), longest=timedelta(hours=rules.longest_overlap_hours)),
        rules=rules,
        progress=progress,
        quorum=_quorum(approvals, progress, digest=request.digest),
        deciders=possible_approvers(request, rules) if open_now else {},
        risks=[
            risk_words(note) for note in risk_notes(content, scopes, environment_class, held=held, template=template)
        ],
        held=held,
        held_changes=_changes(held, power_of(content), only=("scopes", "networks", "cryptoperiod_days")),
        template_changes=_changes(template, power_of(content), only=("scopes",)) if template else [],
        timeline=told(events_of_request(request), actor=actor),
        receipts=_receipts(request, approvals, actor=actor),
        key=ManagedKey.objects.visible_to(actor).filter(request=request).first() or request.renews,
        denial=next((each.comment for each in approvals if each.decision == "deny"), ""),
        is_mine=str(request.requester_id) == actor.id,
        may_change=bool(may_change_request(who, facts)) and open_now,
        may_decide=bool(decision) and pending,
        why_not=_why_not(decision) if pending else "",
        can_be_nudged_at=request.nudged_at,
        at=at,
    )


def _verifies(content: Content, request: KeyRequest, *, actor: Actor) -> str:
    if content.verifies is None:
        return ""
    slug = content.verifies["service"]
    service = Service.objects.visible_to(actor).filter(slug=slug).first()
    return service_in(service or slug, request.environment)  # it verifies in its own environment only


def _receipts(request: KeyRequest, approvals: Sequence[Approval], *, actor: Actor) -> list[ReceiptLine]:
    if request.state not in DECIDED or not may_have_receipts(request, actor=actor):
        return []
    names = {str(each.pk): f": {each.person.name}" for each in approvals}
    return [
        ReceiptLine(
            uid=each.event.uid,
            words=f"{TOLD[each.event.action][0]}{names.get(each.event.target_id, '')}",
            at=each.event.occurred_at,
            is_sealed=each.is_sealed,
        )
        for each in decisive_events(request)
    ]


def _why_not(decision: Decision) -> str:
    """Explain a missing button to those who might look for one; people without any seat are not lectured."""
    return "" if getattr(decision, "code", "") == "not_an_approver" else why_not(decision)


def _quorum(approvals: Sequence[Approval], progress: Progress, *, digest: str) -> Quorum:
    seats = [
        Seat(person=each.person.name, at=each.created_at, note=_seat_words(each))
        for each in approvals
        if each.voided_at is None and each.decision in APPROVING and each.digest == digest
    ]
    of_service = progress.service_required - progress.service_given
    for place in range(progress.required - len(seats)):
        note = _("One more, from the service's own team") if place < of_service else _("One more, from either side")
        seats.append(Seat(note=note))
    return Quorum(needed=progress.required, seats=seats)


def _seat_words(approval: Approval) -> str:
    side = _("for the service's team") if approval.on_service_side else _("for the group the policy names")
    parts = [side, str(METHODS.get(approval.method, approval.method))]
    if approval.seat_id != approval.person_id:
        parts.append(_("in place of %(name)s") % {"name": approval.seat.name})
    return ", ".join(parts)


def _changes(before: Power, after: Power, *, only: Sequence[str] = ()) -> list[Change]:
    labels = {name: label for name, label in LABELS.items() if not only or name in only}
    return difference(_shown(before), _shown(after), labels=labels)


def _shown(power: Power) -> dict[str, object]:
    return {
        "scopes": list(power.scopes),
        "networks": list(power.networks) or ([] if power.is_nothing else [_("any address")]),
        "cryptoperiod_days": days_in_words(power.cryptoperiod_days) if power.cryptoperiod_days else None,
        "authorised_days": days_in_words(power.authorised_days) if power.authorised_days else None,
    }
