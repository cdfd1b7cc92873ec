"""Read what the sealer wrote: the head of the log, what still waits, and the proofs of a place and of growth."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connections, transaction

from audit.merkle import NodeId, consistency_ranges, inclusion_ranges, nodes_of, proof_of
from audit.models import AuditCheckpoint, AuditCosignature, AuditEvent, AuditLeaf
from audit.notes import Note, Proof
from audit.sealer import fetch_nodes

MOST_COUNTED = 10_000
MOST_COSIGNATURES = 100
LATE = timedelta(seconds=60)
"""After this an event that is not sealed is late: the sealer stands, refuses, or cannot keep up."""
POLL_SECONDS = 0.05

# What the sealer would take next; places whose event vanished or has a leaf already are its alarm, and hide nothing here.
_OLDEST = """
SELECT greatest(clock_timestamp() - event.recorded_at, interval '0')
FROM audit_pending pending
JOIN audit_event event ON event.id = pending.event_id
LEFT JOIN audit_leaf leaf ON leaf.event_id = pending.event_id
WHERE leaf.event_id IS NULL
ORDER BY pending.event_id LIMIT 1
"""


class NotSealed(LookupError):
    """The event has no place in a signed tree (yet), or the log is not as large as was asked."""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What waits to be sealed, counted up to MOST_COUNTED, how long the oldest has waited, and whether the log is whole."""

    waiting: int
    age: timedelta
    is_interrupted: bool = False

    @property
    def is_late(self) -> bool:
        """Tell whether something has waited for too long, or too much waits, or the database is behind its log."""
        return self.age > LATE or self.waiting >= MOST_COUNTED or self.is_interrupted


def backlog(using: str = "default") -> Backlog:
    """Count the queue, as far as that is cheap."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT count(*) FROM (SELECT FROM audit_pending LIMIT %s) AS waiting), ({_OLDEST}),"  # noqa: S608
            " EXISTS (SELECT FROM audit_interruption WHERE ended_at IS NULL)",
            (MOST_COUNTED,),
        )
        waiting, age, is_interrupted = cursor.fetchone()
    return Backlog(waiting=waiting, age=age or timedelta(), is_interrupted=is_interrupted)


def are_sealed(uids: Collection[UUID], *, using: str = "default") -> bool:
    """Tell whether each of these events has a leaf under a signed checkpoint."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM audit_event event JOIN audit_leaf leaf ON leaf.event_id = event.id"
            " WHERE event.uid = ANY (%s) AND leaf.index < (SELECT max(size) FROM audit_checkpoint)",
            (list(uids),),
        )
        return int(cursor.fetchone()[0]) == len(set(uids))


def wait_until_sealed(uids: Collection[UUID], *, seconds: float, using: str = "default") -> bool:
    """Wait until these committed events are sealed, at most so long; tell whether they are.

    Never inside a transaction (RuntimeError): what it waits for would not be committed, and its locks would be held.
    """
    deadline = time.monotonic() + seconds
    while True:
        with transaction.atomic(using=using, durable=True):  # durable: Django refuses it inside another transaction
            if are_sealed(uids, using=using):
                return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(POLL_SECONDS, left))


def latest_checkpoint(using: str = "default") -> AuditCheckpoint | None:
    """Return the newest signed head."""
    return AuditCheckpoint.objects.using(using).order_by("-size").first()


def proof_of_event(uid: UUID, *, using: str = "default") -> Proof:
    """Return the proof that this event is in a signed tree, with all cosignatures; its entry is the payload.

    The newest tree that a witness has seen, or else the newest: witnesses are a moment behind.
    """
    # The place before the head: what is sealed in between is in the newer head.
    event_id = AuditEvent.objects.using(using).filter(uid=uid).values("id")
    index = AuditLeaf.objects.using(using).filter(event_id__in=event_id).values_list("index", flat=True).first()
    if index is None:
        raise NotSealed("this event is not sealed yet")
    witnessed = AuditCosignature.objects.using(using).filter(checkpoint__gt=index).order_by("-checkpoint")
    seen = witnessed.select_related("checkpoint").first()
    head = seen.checkpoint if seen is not None else latest_checkpoint(using)
    if head is None or head.size <= index:
        raise NotSealed("this event is not sealed yet")
    ranges = inclusion_ranges(index, head.size)
    hashes = proof_of(ranges, nodes(nodes_of(ranges), using).__getitem__)
    return Proof(index=index, hashes=tuple(hashes), checkpoint=cosigned(head, using))


def consistency_proof(old: int, new: int, *, using: str = "default") -> list[bytes]:
    """Return the hashes that show that the tree of `new` leaves begins with that of `old`."""
    ranges = consistency_ranges(old, new)
    return proof_of(ranges, nodes(nodes_of(ranges), using).__getitem__)


def cosigned(head: AuditCheckpoint, using: str = "default") -> str:
    """Return the signed note of a checkpoint with the newest line of every witness under it."""
    rows = AuditCosignature.objects.using(using).filter(checkpoint=head).order_by("-signed_at", "-id")
    lines = [f"{line.rstrip()}\n" for line in rows.values_list("signature", flat=True)[:MOST_COSIGNATURES]]
    if not lines:
        return head.note
    # A witness that was asked again signed again; a note with two signatures of one key is no good note.
    signatures = Note.parse(head.note + "".join(reversed(lines))).signatures[-len(lines) :]
    newest = {(each.name, each.key_id): f"{each.line()}\n" for each in signatures}
    return head.note + "".join(newest.values())


def nodes(wanted: Iterable[NodeId], using: str = "default") -> dict[NodeId, bytes]:
    """Return these full subtrees; raise NotSealed when the log has not all of them."""
    wanted = set(wanted)
    with connections[using].cursor() as cursor:
        found = fetch_nodes(cursor, wanted)
    if found.keys() != wanted:
        raise NotSealed("the log has no such subtree")
    return found
