"""Hand out the proof that an event is in the sealed log, and the exact bytes it is about."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from audit.actor import Actor
from audit.checkpoints import NotSealed, proof_of_event
from audit.events import LogRead
from audit.log import record
from audit.models import AuditEvent
from audit.notes import Proof
from keys.errors import Conflict, NotFound
from keys.operations import operation
from keys.reports.log import LOG, decide_reading, within_reach
from keys.reports.searches import LogSearch


@dataclass(frozen=True, kw_only=True)
class ProvedEvent:
    """An event with the proof of its place in the newest signed tree."""

    event: AuditEvent
    proof: Proof


@operation
def read_proof(uid: UUID, *, actor: Actor) -> ProvedEvent:
    """Return the proof of one event with all signatures that are known, and put that it was taken on record."""
    at = decide_reading(actor)
    event = _event(uid, actor=actor)
    try:
        proof = proof_of_event(uid)
    except NotSealed as error:
        raise Conflict("not_sealed_yet") from error
    record(LogRead(target_id=LOG, searched={"proof": str(uid)}, shown=1), actor=actor, at=at)
    return ProvedEvent(event=event, proof=proof)


@operation
def read_entry(uid: UUID, *, actor: Actor) -> bytes:
    """Return the bytes of one event exactly as they were hashed, and put that they were taken on record."""
    at = decide_reading(actor)
    event = _event(uid, actor=actor)
    record(LogRead(target_id=LOG, searched={"entry": str(uid)}, shown=1), actor=actor, at=at)
    return bytes(event.payload)


def _event(uid: UUID, *, actor: Actor) -> AuditEvent:
    found = within_reach(LogSearch(), actor).select().filter(uid=uid).first()
    if found is None:
        raise NotFound
    return found
