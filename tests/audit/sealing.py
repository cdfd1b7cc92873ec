"""A sealer in a folder of its own, and what a sealed log must look like."""

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import transaction

from audit import clock, log
from audit.merkle import Tree, leaf_hash
from audit.models import AuditCheckpoint, AuditEvent, AuditLeaf, AuditNode, AuditPending
from audit.notes import open_checkpoint
from audit.sealer import Sealer
from audit.sealer_folder import SealerFolder, create_key, read_signer
from tests.audit.things import CLOCK, ThingChanged


def make_sealer(path: Path) -> Sealer:
    folder = SealerFolder(path)
    if not folder.key_file.exists():
        create_key(folder, name="keystead/audit-log/test")
    return Sealer(folder, read_signer(folder.key_file))


def write_events(count: int, prefix: str = "t") -> None:
    with transaction.atomic():
        log.record_many(
            [ThingChanged(target_id=f"{prefix}-{n}", comment="words") for n in range(count)],
            actor=CLOCK,
            at=clock.now(),
        )


def assert_whole(sealer: Sealer) -> int:
    """Recompute everything: dense, no event lost or doubled, every checkpoint and node true, tiles the same. Return the size."""
    sealed = list(AuditLeaf.objects.order_by("index").values_list("index", "event_id", "leaf_hash"))
    payloads = dict(AuditEvent.objects.values_list("id", "payload"))
    assert [index for index, _, _ in sealed] == list(range(len(sealed)))
    waiting = set(AuditPending.objects.values_list("event_id", flat=True))
    assert {event for _, event, _ in sealed} | waiting == payloads.keys()
    assert not {event for _, event, _ in sealed} & waiting
    checkpoints = {each.size: each for each in AuditCheckpoint.objects.all()}
    tree, nodes, entries = Tree(), {}, []
    for _, event, leaf in sealed:
        entries.append(bytes(payloads[event]))
        assert bytes(leaf) == leaf_hash(entries[-1])
        nodes.update(tree.append(bytes(leaf)))
        if checkpoint := checkpoints.pop(tree.size, None):
            head = open_checkpoint(checkpoint.note, [sealer.signer.verifier])
            assert (head.size, head.root) == (tree.size, tree.root()) == (checkpoint.size, bytes(checkpoint.root))
    assert checkpoints == {}
    assert {(each.level, each.index): bytes(each.hash) for each in AuditNode.objects.all()} == nodes
    state = sealer.folder.read_state()
    assert state is not None
    assert (state.size, state.root) == (tree.size, tree.root().hex())
    assert list(sealer.folder.tiles.entries(tree.size)) == entries
    return tree.size


def as_superuser(superuser: "psycopg.Connection[Any]", *statements: str) -> None:
    superuser.execute("SET session_replication_role = replica")
    tables = ("audit_event", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature")
    for table in tables:
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for statement in statements:
        superuser.execute(statement)
    for table in tables:
        superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER audit_append_only")


def cut_off(superuser: "psycopg.Connection[Any]", size: int) -> None:
    """Make the database as it was when it held so many leaves, like an older backup."""
    tables = ("audit_event", "audit_private", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature")
    for table in tables:
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER audit_append_only")
    later = f"(SELECT event_id FROM audit_leaf WHERE index >= {size})"
    superuser.execute(f"DELETE FROM audit_private WHERE event_id IN {later}")
    superuser.execute(f"DELETE FROM audit_event WHERE id IN {later}")
    superuser.execute(f"DELETE FROM audit_leaf WHERE index >= {size}")
    superuser.execute(f"DELETE FROM audit_node WHERE (index + 1) << level > {size}")
    superuser.execute(f"DELETE FROM audit_cosignature WHERE checkpoint_id > {size}")
    superuser.execute(f"DELETE FROM audit_checkpoint WHERE size > {size}")
    for table in tables:
        superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER audit_append_only")


def fail_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk fail once, the `step`-th time that something is to last."""
    left, real = [step], os.fsync

    def failing(handle: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError("no space")
        real(handle)

    monkeypatch.setattr(os, "fsync", failing)
