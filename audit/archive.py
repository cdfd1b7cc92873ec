"""Copy whole subtrees of the log to write-once storage, and prove that a copy is what the log signed.

An archive is two objects: the entries of PRUNE_STEP leaves as C2SP entry bundles, one after another, and a statement of
their hash with the proof from their subtree to a signed checkpoint. Both verify without a database. Private parts are in
no archive: what cannot be deleted must not be personal.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, BinaryIO, Self, cast

from django.db import connections, transaction

from audit import clock
from audit.actor import Actor
from audit.archives.base import ArchiveMissing, ArchiveStore
from audit.keeping_events import LogArchived
from audit.keeping_rules import PRUNE_STEP
from audit.log import record
from audit.merkle import (
    ProofError,
    Tree,
    inclusion_ranges,
    leaf_hash,
    nodes_of,
    proof_of,
    root_from_inclusion,
)
from audit.models import AuditArchive, AuditCheckpoint
from audit.notes import Checkpoint, NoteError, Verifier, open_checkpoint
from audit.retention import first_leaf
from audit.sealer import fetch_nodes

ENTRIES, STATEMENT = ".entries", ".json"
_PAGE = 4_096
_LEAVES = """
SELECT leaf.index, event.payload FROM audit_leaf leaf JOIN audit_event event ON event.id = leaf.event_id
WHERE leaf.index >= %s AND leaf.index < %s ORDER BY leaf.index
"""


class NotTheLog(Exception):
    """What was read is not what the log signed; nothing of it may be relied on, or pruned."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What an archive says about itself; only the checkpoint under a pinned key makes it true."""

    from_leaf: int
    upto_leaf: int
    sha256: str
    size: int
    proof: tuple[str, ...]
    checkpoint: str
    version: int = 1

    def encoded(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read it back; raise NotTheLog for anything else."""
        try:
            found = json.loads(text)
            statement = cls(**{**found, "proof": tuple(found["proof"])})
            whole = statement.version == 1 and statement.upto_leaf - statement.from_leaf == PRUNE_STEP
        except (ValueError, TypeError, KeyError) as error:
            raise NotTheLog("a statement of an archive cannot be read") from error
        if not whole or statement.from_leaf % PRUNE_STEP:
            raise NotTheLog("a statement of an archive is about no whole subtree")
        return statement


def archive_leaves(
    *,
    store: ArchiveStore,
    verifiers: Sequence[Verifier],
    actor: Actor,
    upto: int | None = None,
    using: str = "retention",
) -> Iterator[AuditArchive]:
    """Archive every whole subtree before `upto` that is not archived yet, and yield each when it was read back and verified."""
    head = _newest_head(verifiers, using)
    end = min(head.size, head.size if upto is None else upto) // PRUNE_STEP * PRUNE_STEP
    start = first_leaf(using) // PRUNE_STEP * PRUNE_STEP
    done = set(AuditArchive.objects.using(using).filter(verified_at__isnull=False).values_list("from_leaf", flat=True))
    for first in range(start, end, PRUNE_STEP):
        if first not in done:
            yield _archive(first, store=store, verifiers=verifiers, actor=actor, using=using)


def _archive(
    first: int, *, store: ArchiveStore, verifiers: Sequence[Verifier], actor: Actor, using: str
) -> AuditArchive:
    name = name_of(first)
    with transaction.atomic(using=using), tempfile.TemporaryFile() as file:
        with connections[using].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
            digest, size = _copy(cursor, first, cast("BinaryIO", file))
            statement = _statement(cursor, first, digest, size, using)
        file.seek(0)
        location = store.put(name + ENTRIES, cast("BinaryIO", file))
    if (said := _said(store, name)) is None:
        store.put(name + STATEMENT, BytesIO(statement.encoded()))
    elif (said.sha256, said.size) != (digest, size):
        raise NotTheLog(f"{name} was archived before, with other entries")
    row = AuditArchive.objects.using(using).create(
        from_leaf=first,
        upto_leaf=first + PRUNE_STEP,
        location=location,
        sha256=bytes.fromhex(digest),
        size=size,
        archived_at=clock.now(using),
    )
    kept, head = verify_archive(store, name, verifiers)
    with transaction.atomic(using=using):
        at = clock.now(using)
        row.verified_at = at
        AuditArchive.objects.using(using).filter(pk=row.pk).update(verified_at=at)
        told = LogArchived(
            target_id="log",
            from_leaf=first,
            upto_leaf=first + PRUNE_STEP,
            location=location,
            sha256=kept.sha256,
            size=kept.size,
            head=head.size,
        )
        record(told, actor=actor, at=at, using=using)
    return row


def name_of(first: int) -> str:
    """Return the name of the archive that begins at leaf `first`."""
    return f"leaves-{first:015d}-{first + PRUNE_STEP:015d}"


def archived_names(store: ArchiveStore) -> list[str]:
    """Return the names of the archives that are in the store, in the order of the log."""
    return [each.removesuffix(STATEMENT) for each in store.names() if each.endswith(STATEMENT)]


def verify_archive(store: ArchiveStore, name: str, verifiers: Sequence[Verifier]) -> tuple[Statement, Checkpoint]:
    """Read an archive back, hash every entry, and follow the proof to a checkpoint that a pinned key signed."""
    statement = _said(store, name)
    if statement is None:
        raise ArchiveMissing(f"{name} has no statement")
    try:
        head = open_checkpoint(statement.checkpoint, verifiers)
    except NoteError as error:
        raise NotTheLog(f"{name}: its checkpoint vouches for nothing: {error}") from error
    if name != name_of(statement.from_leaf):
        raise NotTheLog(f"{name} is the archive of other leaves")
    tree, digest, size = Tree(), hashlib.sha256(), 0
    for entry in _entries(store, name):
        digest.update(len(entry).to_bytes(2, "big") + entry)
        size += 2 + len(entry)
        tree.extend([leaf_hash(entry)])
    if (digest.hexdigest(), size, tree.size) != (statement.sha256, statement.size, PRUNE_STEP):
        raise NotTheLog(f"{name}: its entries are not those that were archived")
    blocks = (head.size - 1) // PRUNE_STEP + 1
    try:
        proof = [bytes.fromhex(each) for each in statement.proof]
        root = root_from_inclusion(tree.root(), statement.from_leaf // PRUNE_STEP, blocks, proof)
    except (ProofError, ValueError) as error:
        raise NotTheLog(f"{name}: its proof has no form") from error
    if root != head.root:
        raise NotTheLog(f"{name}: its entries are not those of the signed log")
    return statement, head


def archived_payloads(store: ArchiveStore, verifiers: Sequence[Verifier], upto: int) -> Iterator[bytes]:
    """Yield the entries of the leaves before `upto` from archives, each archive verified before anything of it is used."""
    for first in range(0, upto, PRUNE_STEP):
        verify_archive(store, name_of(first), verifiers)
        yield from _entries(store, name_of(first))


def _newest_head(verifiers: Sequence[Verifier], using: str) -> Checkpoint:
    stored = AuditCheckpoint.objects.using(using).order_by("-size").first()
    if stored is None:
        raise NotTheLog("nothing is sealed yet")
    try:
        return open_checkpoint(stored.note, verifiers)
    except NoteError as error:
        raise NotTheLog(f"the newest checkpoint vouches for nothing: {error}") from error


def _copy(cursor: Any, first: int, file: BinaryIO) -> tuple[str, int]:
    """Write the entries of one subtree (Any: Django's cursor is untyped); return their hash and size."""
    digest, size, expected = hashlib.sha256(), 0, first
    for start in range(first, first + PRUNE_STEP, _PAGE):
        cursor.execute(_LEAVES, (start, start + _PAGE))
        for index, payload in cursor.fetchall():
            if index != expected:
                raise NotTheLog(f"leaf {expected} is missing")
            entry = len(payload).to_bytes(2, "big") + bytes(payload)
            digest.update(entry)
            size += file.write(entry)
            expected += 1
    if expected != first + PRUNE_STEP:
        raise NotTheLog(f"leaf {expected} is missing")
    return digest.hexdigest(), size


def _statement(cursor: Any, first: int, digest: str, size: int, using: str) -> Statement:
    """Prove the subtree by the stored nodes, in the newest checkpoint of the same snapshot (Any: as above)."""
    stored = AuditCheckpoint.objects.using(using).order_by("-size")[:1].get()
    end = first + PRUNE_STEP
    above = [each for each in inclusion_ranges(first, stored.size) if not first <= each[0] < end]
    nodes = fetch_nodes(cursor, nodes_of(above))
    if nodes.keys() != nodes_of(above):
        raise NotTheLog("the log has no such subtree")
    proof = tuple(each.hex() for each in proof_of(above, nodes.__getitem__))
    return Statement(from_leaf=first, upto_leaf=end, sha256=digest, size=size, proof=proof, checkpoint=stored.note)


def _said(store: ArchiveStore, name: str) -> Statement | None:
    if name + STATEMENT not in store.names():
        return None
    with store.open(name + STATEMENT) as file:
        return Statement.parse(file.read())


def _entries(store: ArchiveStore, name: str) -> Iterator[bytes]:
    with ExitStack() as stack:
        file = stack.enter_context(store.open(name + ENTRIES))
        while head := file.read(2):
            size = int.from_bytes(head, "big")
            entry = file.read(size)
            if len(head) != 2 or len(entry) != size:
                raise NotTheLog(f"{name} is torn")
            yield entry
