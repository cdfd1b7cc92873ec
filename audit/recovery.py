"""Take the lost end of the log up again from the tiles into an older database, or begin a new log where that cannot be.

Both are one transaction beside files that are written before or after it and may be written again: killed anywhere, the
command is run once more. Both leave an interruption behind: no key verifies before somebody brought the governed rows up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction

from audit import clock, log
from audit.actor import Actor
from audit.events import LogRestored
from audit.interruptions import NEW_ORIGIN, ROLLBACK, begin_interruption, mark_recovered
from audit.merkle import Tree, leaf_hashes
from audit.notes import Checkpoint, NoteError, Signer, open_checkpoint
from audit.restored import Frozen, read_restored
from audit.sealer import LOCK, Refused, Sealer, payloads, root_of_nodes, write_leaves
from audit.sealer_folder import FolderError, SealerFolder, SealerState
from audit.statements import ORIGIN_BEGUN, RECOVERED, Statement
from audit.tiles import TileMissing, TileWriter, write_whole

SEALER = Actor.system("sealer")
_PAGE = 4_096
_MARK = "new-origin.json"

# A dump may have been made after an event was committed and before it was sealed: then it is here already, with its
# private part. The trigger queues the others, and what has its leaf back leaves the queue.
_KNOWN = """
SELECT event.id, event.uid::text, event.payload FROM audit_event event
WHERE event.uid = ANY (%s::uuid[]) AND NOT EXISTS (SELECT FROM audit_leaf WHERE event_id = event.id)
"""
_INSERT = """
INSERT INTO audit_event (payload) SELECT payload FROM unnest(%s::bytea[]) WITH ORDINALITY AS given (payload, place)
ORDER BY place RETURNING id, uid::text
"""


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What was taken up: leaves from `from_leaf` and before `upto_leaf`, so many of them without their private part."""

    from_leaf: int
    upto_leaf: int
    lost_private_parts: int


def halt(refused: Refused, *, using: str = "sealer") -> None:
    """After a ROLLBACK let no key of this database verify: revocations since it was made are not in it."""
    if refused.lost is not None:
        begin_interruption(ROLLBACK, from_leaf=refused.lost[0], upto_leaf=refused.lost[1], using=using)


def recover_tail(sealer: Sealer) -> Recovered | None:
    """Take up what the database lost, or return None when it lost nothing; raise Refused when it is not ours."""
    state = sealer.folder.read_state()
    if state is None or not state.note:
        raise Refused("state_lost", "without state.json nobody knows what was lost; see --new-origin")
    verifiers = [each.verifier for each in sealer.signers]
    try:
        head = open_checkpoint(state.note, verifiers)
    except NoteError as error:
        raise Refused("key", f"the checkpoint in state.json is not ours: {error}") from error
    with transaction.atomic(using=sealer.using, durable=True), connections[sealer.using].cursor() as cursor:
        base = _locked_size(cursor)
        if base >= head.size:
            return None
        tree = _common_beginning(cursor, sealer, base)
        try:
            lost = _taken_up(cursor, tree, sealer, head.size)
        except TileMissing as error:
            raise Refused("tiles", f"{error}; if no copy of the tiles has it, see --new-origin") from error
        if tree.root() != head.root:
            raise Refused("tiles", f"the tiles of {head.size} leaves do not have the root that was published")
        cursor.execute(
            "INSERT INTO audit_checkpoint (size, root, note, signed_at) VALUES (%s, %s, %s, clock_timestamp())",
            (head.size, head.root, state.note),
        )
        begin_interruption(ROLLBACK, from_leaf=base, upto_leaf=head.size, using=sealer.using)
        mark_recovered(cause=ROLLBACK, upto_leaf=head.size, using=sealer.using)
        statement = Statement(kind=RECOVERED, origin=head.origin, facts=(str(base), str(head.size)))
        _record(statement.signed(sealer.signers), "database-restored", base, head.size, lost=lost, using=sealer.using)
    return Recovered(from_leaf=base, upto_leaf=head.size, lost_private_parts=lost)


def begin_origin(folder: SealerFolder, make_signer: Callable[[], Signer], *, using: str = "sealer") -> Frozen:
    """Freeze the log as this database has it and begin another under a new name and key; return what is frozen.

    The events that are here become the beginning of the new log, as they are found: its key says nothing about whether
    they are true to what was published before.
    """
    mark = folder.path / _MARK
    if not mark.exists():
        published = _published(folder)
        write_whole(mark, json.dumps([*published, False]) + "\n", mode=0o600)
    origin, published_size, is_frozen = json.loads(mark.read_text())
    if not is_frozen:
        folder.freeze(origin or "unknown")
        write_whole(mark, json.dumps([origin, published_size, True]) + "\n", mode=0o600)
    signer = make_signer()
    with transaction.atomic(using=using, durable=True), connections[using].cursor() as cursor:
        base = _locked_size(cursor)
        if done := read_restored(using, verifiers=[signer.verifier]).frozen:
            frozen = done[0]
            base = frozen.size
        writer = TileWriter(folder.tiles)
        for number, payload in enumerate(payloads(cursor, 0, base), start=1):
            writer.append(payload)
            if number % _PAGE == 0:
                writer.settle()
        writer.flush()
        root = writer.tree.root()
        stored = _stored_head(cursor, base)
        if base and (stored is None or stored[1] != root):
            raise Refused("rewrite", f"the events do not have the root of the database's checkpoint of {base} leaves")
        if not done:
            frozen = Frozen(origin=origin or (stored[0] if stored else "unknown"), size=base, root=root)
            if frozen.origin == signer.name:
                raise Refused("key", "a new log needs a new name and a new key")
            _state_origin(signer, frozen, str(published_size or "unknown"), using=using)
    state = SealerState(origin=signer.name)
    if base:
        note = signer.sign(Checkpoint(origin=signer.name, size=base, root=root).body())
        state = SealerState(origin=signer.name, size=base, root=root.hex(), note=note)
        folder.write_state(state)
    mark.unlink()
    return frozen


def _published(folder: SealerFolder) -> tuple[str, int]:
    """Return the name and size of the log as it was last published, as far as anybody here remembers."""
    try:
        state = folder.read_state()
    except FolderError:
        state = None
    return (state.origin, state.size) if state else ("", 0)


def _stored_head(cursor: Any, size: int) -> tuple[str, bytes] | None:
    """Return the name and root in the database's checkpoint of this size."""
    cursor.execute("SELECT note, root FROM audit_checkpoint WHERE size = %s", (size,))
    row = cursor.fetchone()
    return (str(row[0]).partition("\n")[0], bytes(row[1])) if row else None


def _state_origin(signer: Signer, frozen: Frozen, published: str, *, using: str) -> None:
    """Put the beginning of the new log on record, and let nothing verify before somebody answers for the rows."""
    facts = (frozen.origin, str(frozen.size), frozen.root.hex(), published)
    statement = Statement(kind=ORIGIN_BEGUN, origin=signer.name, facts=facts).signed([signer])
    _record(statement, "origin-begun", frozen.size, frozen.size, using=using)
    begin_interruption(NEW_ORIGIN, from_leaf=frozen.size, upto_leaf=frozen.size, using=using)
    mark_recovered(cause=NEW_ORIGIN, upto_leaf=frozen.size, using=using)


def _locked_size(cursor: Any) -> int:
    """Be the only sealer, and return how many leaves the database holds (Any: Django's cursor is untyped)."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
    if not cursor.fetchone()[0]:
        raise Refused("busy", "another sealer is at work on this database: stop it first")
    cursor.execute("SELECT max(size) FROM audit_checkpoint")
    return cursor.fetchone()[0] or 0


def _common_beginning(cursor: Any, sealer: Sealer, base: int) -> Tree:
    """Return the tree of what database and tiles have in common, which must be all that the database has."""
    cursor.execute(
        "SELECT (SELECT root FROM audit_checkpoint WHERE size = %s), (SELECT max(index) + 1 FROM audit_leaf)", (base,)
    )
    root, leaves = cursor.fetchone()
    try:
        tree = TileWriter.at(sealer.folder.tiles, base).tree
    except TileMissing as error:
        raise Refused("tiles", str(error)) from error
    if base and (
        leaves not in (base, None) or bytes(root) != tree.root() or root_of_nodes(cursor, base) != tree.root()
    ):
        raise Refused("rewrite", f"the {base} leaves of the database are not the first {base} that were published")
    return tree


def _taken_up(cursor: Any, tree: Tree, sealer: Sealer, upto: int) -> int:
    """Write events, leaves and nodes from the tiles; return how many have lost their private part."""
    lost = 0
    for page in _pages(sealer.folder.tiles.entries(upto, tree.size)):
        ids, new = _event_ids(cursor, page)
        lost += new
        leaves = leaf_hashes(page)
        write_leaves(ids, [(0, tree.size, leaves), *tree.grow(leaves)], using=sealer.using)
        cursor.execute("DELETE FROM audit_pending WHERE event_id = ANY (%s)", (ids,))
    return lost


def _event_ids(cursor: Any, page: Sequence[bytes]) -> tuple[list[int], int]:
    """Return the event of each entry, inserted where it is not here, and how many were."""
    uids = [str(json.loads(entry)["uid"]) for entry in page]
    cursor.execute(_KNOWN, (uids,))
    known = {uid: (number, bytes(payload)) for number, uid, payload in cursor.fetchall()}
    missing = []
    for uid, entry in zip(uids, page, strict=True):
        if uid not in known:
            missing.append(entry)
        elif known[uid][1] != entry:
            raise Refused("rewrite", f"event {known[uid][0]} waits here and is not what was sealed")
    cursor.execute(_INSERT, (missing,))
    ids = {uid: number for uid, (number, _) in known.items()} | {uid: number for number, uid in cursor.fetchall()}
    return [ids[uid] for uid in uids], len(missing)


def _pages(entries: Iterator[bytes]) -> Iterator[list[bytes]]:
    page: list[bytes] = []
    for entry in entries:
        page.append(entry)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


def _record(statement: str, reason: str, start: int, end: int, *, lost: int = 0, using: str) -> None:
    told = LogRestored(
        target_id="log", reason=reason, statement=statement, from_leaf=start, upto_leaf=end, lost_private_parts=lost
    )
    log.record(told, actor=SEALER, at=clock.now(using), using=using)
