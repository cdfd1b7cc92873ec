"""Give events their final order: hash them, sign the head, and keep a copy that the database cannot change.

One round: lock, compare the database with our own memory, take the queue in order, write leaves, nodes and a signed
checkpoint in one transaction, and only after its commit the tiles and the memory. Killed anywhere, the next round finds
either nothing done, or a committed checkpoint under our own signature that the tiles do not have yet.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction

from audit.binary import array_of, copy_in, fetch_rows
from audit.keeping_rules import PRUNE_STEP
from audit.merkle import HASH_SIZE, NodeId, Row, Tree, fold, full_subtrees, leaf_hash
from audit.notes import Checkpoint, NoteError, Signer, open_checkpoint
from audit.sealer_folder import SealerFolder, SealerState
from audit.statements import sign_with
from audit.tiles import TileConflict, TileMissing, TileWriter

BATCH = 16_384
LOCK = 0x6B6579_7365616C  # "keyseal": an advisory lock of the database
_PAGE = 4_096
# Each value after its size, after their number: COPY's binary format.
_LEAF_ROW = struct.Struct("!hiqiqi32s").pack
_NODE_ROW = struct.Struct("!hihiqi32s").pack

# A statement for each table, in the order of the queue: whatever joins them the planner may turn around, and then it reads
# the whole log for a page.
_FRONT = "SELECT event_id FROM audit_pending WHERE event_id > %s ORDER BY event_id LIMIT %s"
_SEALED = "SELECT event_id FROM audit_leaf WHERE event_id = ANY (%s::bigint[])"
_EVENTS = "SELECT id, payload FROM audit_event WHERE id = ANY (%s::bigint[]) ORDER BY id"
_ODD = """
SELECT pending.event_id, event.id IS NULL
FROM audit_pending pending
LEFT JOIN audit_event event ON event.id = pending.event_id
LEFT JOIN audit_leaf leaf ON leaf.event_id = pending.event_id
WHERE event.id IS NULL OR leaf.event_id IS NOT NULL
ORDER BY pending.event_id LIMIT 100
"""
_LEAVES = """
SELECT leaf.index, event.payload
FROM audit_leaf leaf LEFT JOIN audit_event event ON event.id = leaf.event_id
WHERE leaf.index >= %s AND leaf.index < %s ORDER BY leaf.index
"""


class Refused(Exception):
    """The database is not the one we sealed; nothing was written. `code` says how, for alarms; `lost` which leaves it lacks."""

    def __init__(self, code: str, words: str, *, lost: tuple[int, int] | None = None) -> None:
        super().__init__(words)
        self.code, self.lost = code, lost


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round did."""

    sealed: int = 0
    size: int = 0
    busy: bool = False

    @property
    def is_full(self) -> bool:
        """Tell whether more may be waiting."""
        return self.sealed == BATCH


class Sealer:
    """The one writer of leaves, nodes and checkpoints."""

    def __init__(
        self, folder: SealerFolder, signer: Signer, *, beside: Sequence[Signer] = (), using: str = "sealer"
    ) -> None:
        self.folder = folder
        self.signers = [signer, *beside]
        self.using = using
        self._state: SealerState | None = None
        self._writer: TileWriter | None = None

    @property
    def signer(self) -> Signer:
        """Return the key that has signed for longest."""
        return self.signers[0]

    def seal(self, *, adopt: bool = False) -> Round:
        """Run one round. `adopt` takes a database on trust when our own memory is lost; raise Refused when it is not ours."""
        try:
            return self._round(adopt=adopt)
        except (TileConflict, TileMissing) as error:
            self._forget()
            raise Refused("tiles", str(error)) from error
        except BaseException:
            # What is in memory may be ahead of what was committed: the disk is asked again.
            self._forget()
            raise

    def odd_entries(self) -> Iterator[tuple[str, int]]:
        """Yield what cannot be in an honest queue: events that vanished before they were sealed, or were sealed before."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(_ODD)
            rows = cursor.fetchall()
        for event_id, vanished in rows:
            yield "vanished" if vanished else "queued_again", event_id

    def _round(self, *, adopt: bool) -> Round:
        with transaction.atomic(using=self.using, durable=True), connections[self.using].cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
            if not cursor.fetchone()[0]:
                return Round(busy=True)
            state, writer = self._taken_up()
            state = self._compared(cursor, state, writer, adopt=adopt)
            rows = self._waiting()
            if not rows:
                return Round(size=state.size)
            state = self._write(cursor, state, writer, rows)
        self._publish(state, writer)
        return Round(sealed=len(rows), size=state.size)

    def _waiting(self) -> list[tuple[int, bytes]]:
        """Return the front of the queue with its events; what is odd is passed over, and the rest does not wait for it."""
        found: list[tuple[int, bytes]] = []
        last, is_more = -(1 << 63), True
        while is_more and len(found) < BATCH:
            wanted = BATCH - len(found)
            front = [event_id for (event_id,) in fetch_rows(_FRONT, (last, wanted), using=self.using)]
            if front:
                sealed = {event_id for (event_id,) in fetch_rows(_SEALED, (array_of(front),), using=self.using)}
                unsealed = [event_id for event_id in front if event_id not in sealed] if sealed else front
                found += fetch_rows(_EVENTS, (array_of(unsealed),), using=self.using)
                last = front[-1]
            is_more = len(front) == wanted
        return found

    def _taken_up(self) -> tuple[SealerState, TileWriter]:
        """Return our memory and the right edge of the tiles, which must agree with each other."""
        if self._state is None or self._writer is None:
            state = self.folder.read_state() or SealerState(origin=self.signer.name)
            if state.origin != self.signer.name:
                raise Refused("key", f"the state is of {state.origin}, the key of {self.signer.name}")
            writer = TileWriter.at(self.folder.tiles, state.size)
            if writer.tree.root().hex() != state.root:
                raise Refused("tiles", f"the tiles of {state.size} leaves do not have the root that was published")
            self._state, self._writer = state, writer
        return self._state, self._writer

    def _compared(self, cursor: Any, state: SealerState, writer: TileWriter, *, adopt: bool) -> SealerState:
        """Refuse a database that is older than our memory or has another past (Any: Django's cursor is untyped)."""
        cursor.execute(
            "SELECT (SELECT max(size) FROM audit_checkpoint), (SELECT max(index) + 1 FROM audit_leaf),"
            " (SELECT root FROM audit_checkpoint WHERE size = %s)",
            (state.size,),
        )
        size, leaves, root = cursor.fetchone()
        size = size or 0
        if leaves is None and size % PRUNE_STEP == 0:
            leaves = size  # all of them archived and pruned
        if size < state.size:
            words = f"the database holds {size} sealed events, {state.size} were published"
            raise Refused("rollback", words, lost=(size, state.size))
        if leaves != size:
            raise Refused("rewrite", f"the database has {leaves or 0} leaves under a checkpoint of {size}")
        if state.size:
            known = bytes.fromhex(state.root)
            if root is None or bytes(root) != known or root_of_nodes(cursor, state.size) != known:
                raise Refused("rewrite", f"the first {state.size} leaves are not those that were published")
        if size == state.size:
            return state
        if not state.size and not adopt:
            raise Refused("state_lost", f"the database holds {size} sealed events, and this sealer remembers none")
        return self._caught_up(cursor, size, writer)

    def _caught_up(self, cursor: Any, size: int, writer: TileWriter) -> SealerState:
        """Take up a checkpoint that was committed and not published; only our own signature makes it ours."""
        cursor.execute("SELECT note FROM audit_checkpoint WHERE size = %s", (size,))
        note = str(cursor.fetchone()[0])
        try:
            checkpoint = open_checkpoint(note, [each.verifier for each in self.signers])
        except NoteError as error:
            raise Refused("rewrite", f"the checkpoint of {size} leaves is not ours: {error}") from error
        tree = Tree(writer.tree.size, list(writer.tree.peaks))
        tree.extend(leaf_hash(payload) for payload in payloads(cursor, tree.size, size))
        if (checkpoint.size, checkpoint.root) != (size, tree.root()):
            raise Refused("rewrite", f"the events do not have the root of our checkpoint of {size} leaves")
        for number, payload in enumerate(payloads(cursor, writer.tree.size, size), start=1):
            writer.append(payload)
            if number % _PAGE == 0:
                writer.settle()
        state = SealerState(origin=self.signer.name, size=size, root=checkpoint.root.hex(), note=note)
        self._publish(state, writer)
        return state

    def _write(
        self, cursor: Any, state: SealerState, writer: TileWriter, waiting: Sequence[tuple[int, bytes]]
    ) -> SealerState:
        """Write leaves, nodes and the checkpoint, and empty the queue of them."""
        event_ids = [event_id for event_id, _ in waiting]
        write_leaves(event_ids, writer.extend([payload for _, payload in waiting]), using=self.using)
        root = writer.tree.root()
        body = Checkpoint(origin=self.signer.name, size=writer.tree.size, root=root).body()
        note = sign_with(self.signers, body)
        cursor.execute(
            "INSERT INTO audit_checkpoint (size, root, note, signed_at) VALUES (%s, %s, %s, clock_timestamp())",
            (writer.tree.size, root, note),
        )
        cursor.execute("DELETE FROM audit_pending WHERE event_id = ANY (%s::bigint[])", (array_of(event_ids),))
        if cursor.rowcount != len(waiting):
            raise Refused("rewrite", "the queue changed while it was being sealed")
        return SealerState(origin=state.origin, size=writer.tree.size, root=root.hex(), note=note)

    def _publish(self, state: SealerState, writer: TileWriter) -> None:
        writer.flush()
        self.folder.write_state(state)
        self._state = state

    def _forget(self) -> None:
        self._state = self._writer = None


def write_leaves(event_ids: Sequence[int], rows: Sequence[Row], *, using: str) -> None:
    """Store the leaves of these events, which are the first row, and the nodes above them."""
    (_, first, leaves), *above = rows
    numbered = enumerate(zip(event_ids, leaves, strict=True), first)
    packed = [_LEAF_ROW(3, 8, index, 8, event_id, HASH_SIZE, leaf) for index, (event_id, leaf) in numbered]
    copy_in("audit_leaf (index, event_id, leaf_hash)", b"".join(packed), using=using)
    packed = [
        _NODE_ROW(3, 2, level, 8, index, HASH_SIZE, node)
        for level, start, hashes in above
        for index, node in enumerate(hashes, start)
    ]
    copy_in("audit_node (level, index, hash)", b"".join(packed), using=using)


def payloads(cursor: Any, start: int, end: int) -> Iterator[bytes]:
    """Yield the payloads of the leaves [start, end) in order, and refuse a gap."""
    for first in range(start, end, _PAGE):
        last = min(first + _PAGE, end)
        cursor.execute(_LEAVES, (first, last))
        rows = cursor.fetchall()
        if [index for index, payload in rows if payload is not None] != list(range(first, last)):
            raise Refused("rewrite", f"events are missing among the leaves {first} to {last - 1}")
        for _, payload in rows:
            yield bytes(payload)


def root_of_nodes(cursor: Any, size: int) -> bytes | None:
    """Return the root of the first `size` leaves by the stored nodes, or None when one is missing."""
    wanted: list[NodeId] = full_subtrees(0, size)
    found = fetch_nodes(cursor, wanted)
    return fold([found[node] for node in wanted]) if found.keys() == set(wanted) else None


def fetch_nodes(cursor: Any, wanted: Collection[NodeId]) -> dict[NodeId, bytes]:
    """Return those of these full subtrees that are stored (Any: Django's cursor is untyped)."""
    cursor.execute(
        "SELECT 0, index, leaf_hash FROM audit_leaf WHERE index = ANY (%s)"
        " UNION ALL SELECT level, index, hash FROM audit_node"
        " WHERE (level, index) IN (SELECT * FROM unnest(%s::smallint[], %s::bigint[]))",
        (
            [index for level, index in wanted if level == 0],
            [level for level, _ in wanted if level],
            [index for level, index in wanted if level],
        ),
    )
    return {(level, index): bytes(node) for level, index, node in cursor.fetchall()}
