"""Read what the sealer wrote: the head of the log, what still waits, and the proofs of a place and of growth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connections

from audit.merkle import NodeId, consistency_ranges, inclusion_ranges, nodes_of, proof_of
from audit.models import AuditCheckpoint, AuditCosignature, AuditEvent, AuditLeaf
from audit.notes import Proof
from audit.sealer import fetch_nodes

MOST_COUNTED = 10_000
LATE = timedelta(seconds=60)
"""After this an event that is not sealed is late: the sealer stands, refuses, or cannot keep up."""


class NotSealed(LookupError):
    """The event has no place in a signed tree (yet), or the log is not as large as was asked."""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What waits to be sealed, counted up to MOST_COUNTED, and how long the oldest has waited."""

    waiting: int
    age: timedelta

    @property
    def is_late(self) -> bool:
        """Tell whether something has waited for too long."""
        return self.age > LATE


def backlog(using: str = "default") -> Backlog:
    """Count the queue, as far as that is cheap."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM (SELECT FROM audit_pending LIMIT %s) AS waiting),"
            " (SELECT greatest(clock_timestamp() - recorded_at, interval '0') FROM audit_event"
            "  WHERE id = (SELECT min(event_id) FROM audit_pending))",
            (MOST_COUNTED,),
        )
        waiting, age = cursor.fetchone()
    return Backlog(waiting=waiting, age=age or timedelta())


def latest_checkpoint(using: str = "default") -> AuditCheckpoint | None:
    """Return the newest signed head."""
    return AuditCheckpoint.objects.using(using).order_by("-size").first()


def proof_of_event(uid: UUID, *, using: str = "default") -> Proof:
    """Return the proof that this event is in the newest signed tree, with all cosignatures; its entry is the payload."""
    # The place before the head: what is sealed in between is in the newer head.
    event_id = AuditEvent.objects.using(using).filter(uid=uid).values("id")
    index = AuditLeaf.objects.using(using).filter(event_id__in=event_id).values_list("index", flat=True).first()
    head = latest_checkpoint(using)
    if index is None or head is None or head.size <= index:
        raise NotSealed("this event is not sealed yet")
    ranges = inclusion_ranges(index, head.size)
    hashes = proof_of(ranges, _nodes(nodes_of(ranges), using).__getitem__)
    return Proof(index=index, hashes=tuple(hashes), checkpoint=head.note + _cosignatures(head, using))


def consistency_proof(old: int, new: int, *, using: str = "default") -> list[bytes]:
    """Return the hashes that show that the tree of `new` leaves begins with that of `old`."""
    ranges = consistency_ranges(old, new)
    return proof_of(ranges, _nodes(nodes_of(ranges), using).__getitem__)


def _cosignatures(head: AuditCheckpoint, using: str) -> str:
    rows = AuditCosignature.objects.using(using).filter(checkpoint=head).order_by("id")
    return "".join(f"{line.rstrip()}\n" for line in rows.values_list("signature", flat=True))


def _nodes(wanted: Iterable[NodeId], using: str) -> dict[NodeId, bytes]:
    wanted = set(wanted)
    with connections[using].cursor() as cursor:
        found = fetch_nodes(cursor, wanted)
    if found.keys() != wanted:
        raise NotSealed("the log has no such subtree")
    return found
