"""Hand out receipts: proofs, each in one file, that a decision about a request is in the sealed log.

Whoever keeps one is a witness: it names the head of the log, so that no past without this decision fits any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from audit import clock
from audit.actor import Actor
from audit.checkpoints import NotSealed, proof_of_event
from audit.log import record
from audit.models import AuditEvent, AuditLeaf
from audit.notes import Checkpoint, Note
from keys.approvals.facts import request_facts
from keys.approvals.quorum import rules_for
from keys.errors import Conflict, NotFound
from keys.events import ApprovalGiven, KeyCreated, ReceiptTaken, RequestApproved, RequestDenied
from keys.models import Approval, KeyRequest, ManagedKey
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.decisions import Decision
from keys.policy.enforcement import enforce
from keys.policy.receipt_rules import may_take_receipt

DECISIVE = (RequestApproved.action, RequestDenied.action, ApprovalGiven.action, KeyCreated.action)


@dataclass(frozen=True, kw_only=True)
class Decisive:
    """An event that a receipt can be had for, and whether it is sealed already."""

    event: AuditEvent
    is_sealed: bool


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The proof, which carries the event itself, and the event's exact bytes."""

    event: AuditEvent
    proof: str
    entry: bytes


def may_have_receipts(request: KeyRequest, *, actor: Actor) -> Decision:
    """Tell whether this person may take receipts of this request."""
    deciders = Approval.objects.filter(request=request).values_list("person_id", flat=True)
    who = standing_of(actor, at=clock.now())
    return may_take_receipt(who, request_facts(request, rules=rules_for(request)), deciders=set(deciders))


def decisive_events(request: KeyRequest) -> list[Decisive]:
    """Return what decided the request, newest first."""
    about = {
        "request": [request.pk],
        "approval": Approval.objects.filter(request=request).values_list("pk", flat=True),
        "key": ManagedKey.objects.filter(request=request).values_list("pk", flat=True),
    }
    events = [
        event
        for target_type, ids in about.items()
        for event in AuditEvent.objects.filter(
            target_type=target_type, target_id__in=[str(each) for each in ids], action__in=DECISIVE
        )
    ]
    sealed = set(
        AuditLeaf.objects.filter(event_id__in=[event.pk for event in events]).values_list("event_id", flat=True)
    )
    events.sort(key=lambda event: event.pk, reverse=True)
    return [Decisive(event=event, is_sealed=event.pk in sealed) for event in events]


@operation
def take_receipt(request: KeyRequest, *, uid: UUID, actor: Actor) -> Receipt:
    """Return the receipt of one decisive event, and put on record who holds it and of which size of the log."""
    enforce(may_have_receipts(request, actor=actor))
    event = next((each.event for each in decisive_events(request) if each.event.uid == uid), None)
    if event is None:
        raise NotFound
    try:
        proof = proof_of_event(event.uid)
    except NotSealed as error:
        raise Conflict("not_sealed_yet") from error
    entry = bytes(event.payload)
    size = Checkpoint.parse(Note.parse(proof.checkpoint).body).size
    record(ReceiptTaken(target_id=str(request.pk), event=str(uid), size=size), actor=actor, at=clock.now())
    return Receipt(event=event, proof=replace(proof, extra=entry).text(), entry=entry)
