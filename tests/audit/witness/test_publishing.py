"""Publishing to witnesses from a real sealer: cosignatures, alarms, and that nothing of it ever holds up sealing."""

import json
import threading
import time
from pathlib import Path

import pytest
from django.core import mail
from django.db import connections

from audit.checkpoints import proof_of_event
from audit.merkle import leaf_hash, verify_inclusion
from audit.models import AuditCheckpoint, AuditCosignature, AuditEvent, AuditWitness
from audit.notes import Note, NoteError, open_checkpoint
from audit.sealer import Sealer
from audit.witness import publisher
from audit.witness.base import Head, Seen, Witness, WitnessFailed
from audit.witness.publisher import Keeper, Publisher
from tests.audit.processes import start_sealer, wait_until
from tests.audit.sealing import make_sealer, write_events
from tests.audit.witness.logs import WITNESS, served
from tests.audit.witness.publishing import ALARMS, alarm, http_witness, keeper, witness_of


def test_the_newest_head_is_cosigned_and_in_the_proof_of_an_event(sealer: Sealer, tmp_path: Path) -> None:
    with served(witness_of(sealer, tmp_path / "w")) as url:
        mine = keeper(http_witness(url), sealer)
        for _ in range(3):
            write_events(300)
            sealer.seal()
        mine.turn()
        row, event = AuditWitness.objects.get(), AuditEvent.objects.last()
        assert event is not None
        head = AuditCheckpoint.objects.latest("size")
        assert (row.name, row.kind, row.is_elsewhere, row.size, row.reason) == (
            "w1.example",
            "http",
            True,
            head.size,
            "",
        )
        assert row.seen_at is not None
        assert AuditCosignature.objects.count() == 1  # the newest head only
        proof = proof_of_event(event.uid)
        note = Note.parse(proof.checkpoint)
        assert note.verified_by(WITNESS.verifier)
        checkpoint = open_checkpoint(proof.checkpoint, [sealer.signer.verifier])
        leaf = leaf_hash(bytes(event.payload))
        verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        # A newer head that nobody has cosigned yet does not take the cosignatures away from an older event.
        write_events(3)
        sealer.seal()
        assert Note.parse(proof_of_event(event.uid).checkpoint).verified_by(WITNESS.verifier)
        newest = AuditEvent.objects.last()
        assert newest is not None
        with pytest.raises(NoteError):
            Note.parse(proof_of_event(newest.uid).checkpoint).verified_by(WITNESS.verifier)
        # The same head again: a second cosignature, of which a proof carries the newest.
        mine.turn()
        for _ in range(2):
            again = http_witness(url).publish(Head(note=sealer.folder.read_state().note, tiles=sealer.folder.tiles))
            assert again.cosignature is not None
            publisher.register.answered(
                mine.witness, sealer.folder.read_state(),
                Seen(size=again.size, cosignature=again.cosignature.__class__(
                    witness=again.cosignature.witness, line=again.cosignature.line, at=again.cosignature.at - 5)),
                publisher.SILENCE, using="sealer",
            )  # fmt: skip
        Note.parse(proof_of_event(newest.uid).checkpoint).verified_by(WITNESS.verifier)
    assert ALARMS == []


def test_a_witness_without_an_answer_is_tried_again_and_later_alarms(
    sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = keeper(http_witness("http://127.0.0.1:1"), sealer)
    mine.enter()
    mine.turn()
    row = AuditWitness.objects.get()
    assert (row.reason, row.seen_at, row.size) == ("unreachable", None, 0)
    mine.turn()  # not before a pause
    assert mine._failures == 1
    mine.look()
    assert ALARMS == []
    # An hour without an answer, also across restarts of the sealer.
    AuditWitness.objects.using("sealer").update(silent_at="2026-01-01T00:00:00Z")
    again = keeper(http_witness("http://127.0.0.1:1"), sealer)
    again.enter()
    for _ in range(3):
        again.look()
    assert [code for code, _ in ALARMS] == ["witness_silent"]


def test_no_witness_slows_the_sealer_or_its_end(sealer: Sealer, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, broken, good, over = (threading.Event() for _ in range(4))

    class Hanging(Witness):
        kind = "hanging"

        def publish(self, head: Head) -> Seen:
            hanging.set()
            over.wait(240)
            raise WitnessFailed("late", "at last")

    class Broken(Witness):
        kind = "broken"

        def publish(self, head: Head) -> Seen:
            broken.set()
            raise ZeroDivisionError

    class Good(Witness):
        kind = "good"
        every = 0.0

        def publish(self, head: Head) -> Seen:
            good.set()
            return Seen(size=head.checkpoint.size)

    monkeypatch.setattr(publisher, "POLL_SECONDS", 0.02)
    began = time.monotonic()
    with Publisher([Hanging(), Broken(), Good()], sealer.folder, alarm).running():
        assert time.monotonic() - began < 60
        assert all(each.wait(60) for each in (hanging, broken, good))
        began = time.monotonic()
        for _ in range(5):
            write_events(3)
            assert sealer.seal().sealed
        assert time.monotonic() - began < 60
        size = sealer.folder.read_state().size
        wait_until(lambda: AuditWitness.objects.get(name="good").size == size)
        wait_until(lambda: AuditWitness.objects.get(name="broken").reason == "broken")
        hung = next(each for each in threading.enumerate() if each.name == "witness hanging")
        began = time.monotonic()
    assert time.monotonic() - began < 60
    over.set()
    hung.join(60)
    assert ALARMS == []


def test_a_witness_that_is_not_asked_any_more_is_forgotten(sealer: Sealer, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper(http_witness("http://127.0.0.1:1", name="gone"), sealer).enter()
    assert AuditWitness.objects.count() == 1
    with Publisher([], sealer.folder, alarm).running():
        wait_until(lambda: not AuditWitness.objects.exists())


def test_a_witness_is_published_to_without_a_database(sealer: Sealer, tmp_path: Path) -> None:
    with served(witness_of(sealer, tmp_path / "w")) as url:
        connections["sealer"].close()
        mine = Keeper(http_witness(url), sealer.folder, alarm, using="nowhere")
        witness = witness_of(sealer, tmp_path / "w")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publisher.register, "answered", _no_database)
            patch.setattr(publisher, "connections", {"nowhere": connections["sealer"]})
            mine.turn()
    assert witness.remembered(sealer.signer.name).size == sealer.folder.read_state().size


def _no_database(*_args: object, **_more: object) -> None:
    raise publisher.DatabaseError("gone")


def test_the_sealers_process_publishes_and_alarms_by_mail_and_line(
    committed_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = make_sealer(tmp_path / "sealer")
    write_events(3)
    with served(witness_of(sealer, tmp_path / "w")) as url:
        options = {"url": url, "vkey": WITNESS.verifier.text(), "every": 0.1}
        entry = {"backend": "audit.witness.http_witness.HttpWitness"} | options
        monkeypatch.setenv("KEYSTEAD_WITNESSES", json.dumps([entry]))
        process = start_sealer(tmp_path / "sealer")
        try:
            wait_until(AuditCosignature.objects.exists)
            began = time.monotonic()
            process.terminate()
            assert process.wait(60) == 0
            assert time.monotonic() - began < 30
        finally:
            process.kill()
            words, _ = process.communicate()
    assert "alarms" not in words
    monkeypatch.setenv("KEYSTEAD_WITNESSES", "[{}]")  # nonsense: sealing goes on, with an alarm
    process = start_sealer(tmp_path / "sealer")
    size = AuditCheckpoint.objects.latest("size").size
    try:
        write_events(2)
        wait_until(lambda: AuditCheckpoint.objects.latest("size").size > size)
    finally:
        process.terminate()
        words, _ = process.communicate(timeout=30)
    assert "witness_setting" in words
    assert mail.outbox == []
