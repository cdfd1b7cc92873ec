import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction

from audit import checkpoints
from audit.merkle import leaf_hash, verify_consistency, verify_inclusion
from audit.models import AuditCheckpoint, AuditCosignature, AuditEvent, AuditLeaf
from audit.notes import COSIGNATURE, Note, Proof, Signer, open_checkpoint
from tests.audit.sealing import make_sealer, write_events

pytestmark = pytest.mark.usefixtures("committed_db")


def test_every_event_has_a_proof_that_anybody_can_check(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(37)
    sealer.seal()
    write_events(20)
    sealer.seal()
    witness = Signer.generate("w.example", COSIGNATURE)
    head = checkpoints.latest_checkpoint()
    assert head is not None
    AuditCosignature.objects.using("sealer").create(
        checkpoint_id=head.size, witness="w.example", signed_at=head.signed_at,
        signature=witness.signature_line(Note.parse(head.note).body, at=1_800_000_000),
    )  # fmt: skip
    for event in AuditEvent.objects.all():
        proof = Proof.parse(checkpoints.proof_of_event(event.uid).text())
        opened = open_checkpoint(proof.checkpoint, [sealer.signer.verifier])
        assert Note.parse(proof.checkpoint).verified_by(witness.verifier) == 1_800_000_000
        verify_inclusion(leaf_hash(bytes(event.payload)), proof.index, opened.size, proof.hashes, opened.root)


def test_any_two_heads_have_a_proof_of_growth(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    for count in (3, 5, 30):
        write_events(count)
        sealer.seal()
    heads = list(AuditCheckpoint.objects.order_by("size"))
    for old in heads:
        for new in heads:
            if old.size <= new.size:
                proof = checkpoints.consistency_proof(old.size, new.size)
                verify_consistency(old.size, new.size, bytes(old.root), bytes(new.root), proof)


def test_what_is_not_sealed_has_no_proof(tmp_path: Path) -> None:
    write_events(1)
    with pytest.raises(checkpoints.NotSealed):
        checkpoints.proof_of_event(AuditEvent.objects.latest("id").uid)
    sealer = make_sealer(tmp_path)
    sealer.seal()
    for wrong in (uuid.uuid4(),):
        with pytest.raises(checkpoints.NotSealed):
            checkpoints.proof_of_event(wrong)
    size = AuditLeaf.objects.count()
    with pytest.raises(checkpoints.NotSealed):
        checkpoints.consistency_proof(1, size + 40)


def test_the_backlog_is_counted_and_its_age_is_that_of_the_oldest(tmp_path: Path) -> None:
    write_events(4)
    found = checkpoints.backlog()
    assert found.waiting >= 4
    assert timedelta() < found.age
    make_sealer(tmp_path).seal()
    assert checkpoints.backlog() == checkpoints.Backlog(waiting=0, age=timedelta())


def test_waiting_for_the_sealer_ends_with_the_sealing_or_in_time(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(2)
    uids = list(AuditEvent.objects.values_list("uid", flat=True))
    began = time.monotonic()
    assert not checkpoints.wait_until_sealed(uids, seconds=0.3)
    assert 0.3 <= time.monotonic() - began < 60
    sealer.seal()
    assert checkpoints.wait_until_sealed(uids, seconds=0)
    assert not checkpoints.wait_until_sealed([*uids, uuid.uuid4()], seconds=0)


def test_nobody_waits_for_the_sealer_inside_a_transaction(tmp_path: Path) -> None:
    """What it waits for would never be committed, and its locks would be held."""
    write_events(1)
    (uid, *_) = AuditEvent.objects.values_list("uid", flat=True)
    with transaction.atomic(), pytest.raises(RuntimeError):
        checkpoints.wait_until_sealed([uid], seconds=0)
