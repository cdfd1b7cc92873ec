"""Publishing to witnesses from a real sealer: cosignatures, alarms, and that nothing of it ever holds up sealing."""

import json
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail
from django.db import connections

from audit.checkpoints import proof_of_event
from audit.events import WitnessContradicted
from audit.inspection import inspect_log
from audit.merkle import leaf_hash, verify_inclusion
from audit.models import AuditCheckpoint, AuditCosignature, AuditEvent, AuditWitness
from audit.notes import COSIGNATURE, Note, NoteError, Signer, open_checkpoint
from audit.pins import Pins
from audit.sealer import Sealer
from audit.witness import publisher
from audit.witness.base import AnotherHistory, Head, Seen, Witness, WitnessFailed
from audit.witness.cosigner import Cosigner
from audit.witness.http_witness import HttpWitness
from audit.witness.publisher import Keeper, Publisher
from audit.witness.roster import RosterError, any_elsewhere, read_roster, witnesses_of
from tests.audit.processes import start_sealer, wait_until
from tests.audit.sealing import make_sealer, write_events
from tests.audit.witness.logs import SIGNER, WITNESS, GrowingLog, served

ALARMS: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def _no_alarms_yet() -> None:
    ALARMS.clear()


def alarm(code: str, words: str) -> None:
    ALARMS.append((code, words))


def http_witness(url: str, *, every: float = 0, **options: Any) -> HttpWitness:
    return HttpWitness(url=url, vkey=WITNESS.verifier.text(), every=every, **options)


def keeper(witness: Witness, sealer: Sealer) -> Keeper:
    return Keeper(witness, sealer.folder, alarm, using="sealer")


# --- The client -------------------------------------------------------------------------------------------------------------


def test_the_client_finds_out_what_the_witness_saw_and_proves_growth(tmp_path: Path) -> None:
    log = GrowingLog(tmp_path / "log")
    with served(Cosigner(tmp_path / "w", WITNESS, [SIGNER.verifier])) as url:
        one, forgetful = http_witness(url), http_witness(url)
        for size in (3, 3, 700):
            head = log.grow(size)
            for each in (one, forgetful):
                seen = each.publish(head)
                assert seen.size == size
                assert seen.cosignature is not None
                Note.parse(head.note + seen.cosignature.line + "\n").verified_by(WITNESS.verifier)
            forgetful = http_witness(url)
        kept = one.read_back()
        assert kept is not None
        assert kept.size == 700


def test_the_client_tells_another_history_from_a_refusal(tmp_path: Path) -> None:
    log, fork = GrowingLog(tmp_path / "log"), GrowingLog(tmp_path / "fork", twist=2)
    with served(Cosigner(tmp_path / "w", WITNESS, [SIGNER.verifier])) as url:
        http_witness(url).publish(log.grow(40))
        for size, code in ((25, "ahead"), (40, "fork"), (41, "fork")):
            with pytest.raises(AnotherHistory) as found:
                http_witness(url).publish(fork.grow(size))
            assert found.value.code == code
        stranger = GrowingLog(tmp_path / "stranger", signer=Signer.generate(SIGNER.name))
        unknown = GrowingLog(tmp_path / "unknown", signer=Signer.generate("else.example"))
        for other, code in ((stranger, "unknown_key"), (unknown, "unknown_log")):
            with pytest.raises(WitnessFailed) as refused:
                http_witness(url).publish(other.grow(5))
            assert refused.value.code == code
            assert not isinstance(refused.value, AnotherHistory)
        wrong = HttpWitness(url=url, vkey=Signer.generate(WITNESS.name, COSIGNATURE).verifier.text())
        with pytest.raises(WitnessFailed) as refused:
            wrong.publish(log.grow(41))
        assert refused.value.code == "cosignature"


@contextmanager
def answering(*answers: bytes, slowly: float = 0.0) -> Any:
    """A server that says these bytes, one connection each, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                try:
                    wire, _ = server.accept()
                except OSError:
                    return
                with wire:
                    wire.settimeout(5)
                    try:
                        wire.recv(65536)
                        step = 1 if slowly else max(1, len(answer))
                        for at in range(0, len(answer), step):
                            wire.sendall(answer[at : at + step])
                            time.sleep(slowly)
                        wire.shutdown(socket.SHUT_WR)
                        while wire.recv(65536):
                            pass
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def reply(status: str, body: str) -> bytes:
    raw = body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n\r\n".encode() + raw


@pytest.mark.parametrize(("answers", "code"), [
    ((reply("200 OK", ""),), "cosignature"),
    ((reply("200 OK", "nonsense\n"),), "cosignature"),
    ((reply("200 OK", "x" * 100_000),), "unreachable"),
    ((reply("409 Conflict", "many\n"),), "malformed_answer"),
    ((reply("409 Conflict", "1\n"), reply("409 Conflict", "2\n")) * 2, "busy"),
    ((reply("500 Oops", ""),), "refused"),
    ((reply("302 Found", "").replace(b"\r\n\r\n", b"\r\nLocation: file:///etc/passwd\r\n\r\n"),), "refused"),
    ((b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",), "cosignature"),
    ((b"no http at all\r\n\r\n",), "unreachable"),
    ((b"",), "unreachable"),
])  # fmt: skip
def test_a_witness_that_talks_nonsense_is_a_failure_and_no_crash(
    tmp_path: Path, answers: tuple[bytes, ...], code: str
) -> None:
    head = GrowingLog(tmp_path / "log").grow(5)
    with answering(*answers) as url, pytest.raises(WitnessFailed) as failed:
        http_witness(url).publish(head)
    assert failed.value.code == code


def test_a_witness_that_shows_another_checkpoint_than_it_signed_is_another_history(tmp_path: Path) -> None:
    log, other = GrowingLog(tmp_path / "log"), GrowingLog(tmp_path / "other", twist=0)
    head = log.grow(5)
    other.grow(5)
    line = WITNESS.signature_line(Note.parse(head.note).body, at=5)
    shown = other.note() + WITNESS.signature_line(Note.parse(other.note()).body, at=5)
    with answering(reply("200 OK", line), reply("200 OK", shown)) as url, pytest.raises(AnotherHistory):
        http_witness(url).publish(head)
    with answering(reply("200 OK", line), reply("200 OK", log.note())) as url, pytest.raises(WitnessFailed) as failed:
        http_witness(url).publish(head)
    assert failed.value.code == "read_back"
    with answering(reply("200 OK", line), reply("404 No", "")) as url:  # not every witness shows what it keeps
        assert http_witness(url).publish(head).size == 5


def test_a_dripping_witness_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = GrowingLog(tmp_path / "log").grow(5)
    monkeypatch.setattr("audit.witness.fetching.exchange.__kwdefaults__", {
        "headers": None, "longest": 1000, "timeout": 0.2,
    })  # fmt: skip
    began = time.monotonic()
    with answering(reply("200 OK", "x" * 900), slowly=0.05) as url, pytest.raises(WitnessFailed):
        http_witness(url).publish(head)
    assert time.monotonic() - began < 20


# --- The setting ------------------------------------------------------------------------------------------------------------


def test_the_setting_names_witnesses_by_dotted_path() -> None:
    text = (
        '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "https://w.example/", "vkey": "%s", "every": 7},'
        ' {"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "%s", "name": "b", "elsewhere": false}]'
        % ((WITNESS.verifier.text(),) * 2)
    )
    one, two = witnesses_of(text)
    assert (one.name, one.every, one.is_elsewhere) == ("w1.example", 7.0, True)
    assert (two.name, two.every, two.is_elsewhere) == ("b", 10.0, False)
    assert any_elsewhere(read_roster(text))
    assert not any_elsewhere(read_roster(text)[1:])
    assert witnesses_of("") == []


@pytest.mark.parametrize("text", [
    "{", "{}", "[1]", "[{}]", '[{"backend": "nowhere.at.All"}]', '[{"backend": "audit.notes.Signer"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "file:///etc/passwd", "vkey": "KEY"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "/no/such/file"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "LOG"}]',
    '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "KEY", "else": 1}]',
    (
        '[{"backend": "audit.witness.http_witness.HttpWitness", "url": "http://w", "vkey": "KEY"},'
        ' {"backend": "audit.witness.http_witness.HttpWitness", "url": "http://v", "vkey": "KEY"}]'
    ),
])  # fmt: skip
def test_a_setting_that_names_no_witness_is_refused(text: str) -> None:
    with pytest.raises(RosterError):
        witnesses_of(text.replace("KEY", WITNESS.verifier.text()).replace("LOG", SIGNER.verifier.text()))


# --- From the sealer ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path) -> Sealer:
    write_events(5)
    found = make_sealer(tmp_path / "sealer")
    found.seal()
    return found


def witness_of(sealer: Sealer, folder: Path) -> Cosigner:
    return Cosigner(folder, WITNESS, [sealer.signer.verifier])


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


def test_found_by_a_witness_an_old_database_together_with_the_sealers_old_memory(
    sealer: Sealer, tmp_path: Path, superuser: "psycopg.Connection[Any]"
) -> None:
    """Whoever sets back database, tiles and memory together agrees with himself; the witness on another host does not."""
    state = sealer.folder.read_state()
    assert state is not None
    shutil.copytree(sealer.folder.path, tmp_path / "old")
    old_size = state.size
    with served(witness_of(sealer, tmp_path / "w")) as url:
        write_events(20)
        sealer.seal()
        mine = keeper(http_witness(url), sealer)
        mine.turn()
        assert AuditWitness.objects.get().size == old_size + 20
        _cut_database(superuser, old_size)
        shutil.rmtree(sealer.folder.path)
        shutil.copytree(tmp_path / "old", sealer.folder.path)
        fresh = make_sealer(sealer.folder.path)
        assert fresh.seal().size == old_size  # the sealer finds nothing wrong
        assert inspect_log(Pins(verifiers=[fresh.signer.verifier])).findings == []  # nor does the nightly look
        mine = keeper(http_witness(url), fresh)
        mine.turn()
        assert [code for code, _ in ALARMS] == ["witness_ahead"]
        # Grown past what the witness saw, the log is a fork.
        write_events(40)
        fresh.seal()
        mine = keeper(http_witness(url), fresh)
        mine.turn()
        assert [code for code, _ in ALARMS] == ["witness_ahead", "witness_fork"]
        row = AuditWitness.objects.get()
        assert (row.reason, row.failed_at is not None) == ("fork", True)
        told = AuditEvent.objects.filter(action=WitnessContradicted.action)
        assert [each.envelope()["reason"] for each in told.order_by("id")] == ["ahead", "fork"]


def test_found_by_a_witness_a_stolen_key_that_rewrites_what_was_witnessed(sealer: Sealer, tmp_path: Path) -> None:
    with served(witness_of(sealer, tmp_path / "w")) as url:
        keeper(http_witness(url), sealer).turn()
        size = AuditWitness.objects.get().size
        thief = GrowingLog(tmp_path / "thief", signer=sealer.signer)
        for grown in (size, size + 10):
            with pytest.raises(AnotherHistory):
                http_witness(url).publish(thief.grow(grown))


def _cut_database(superuser: "psycopg.Connection[Any]", size: int) -> None:
    for table in ("audit_event", "audit_private", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature"):
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER audit_append_only")
    for statement in (
        "DELETE FROM audit_cosignature", "DELETE FROM audit_witness",
        f"DELETE FROM audit_private WHERE event_id IN (SELECT event_id FROM audit_leaf WHERE index >= {size})",
        f"DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_leaf WHERE index >= {size})",
        f"DELETE FROM audit_leaf WHERE index >= {size}", f"DELETE FROM audit_node WHERE (index + 1) << level > {size}",
        f"DELETE FROM audit_checkpoint WHERE size > {size}",
    ):  # fmt: skip
        superuser.execute(statement)
    for table in ("audit_event", "audit_private", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature"):
        superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER audit_append_only")


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
            over.wait(60)
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
        assert time.monotonic() - began < 1
        assert all(each.wait(10) for each in (hanging, broken, good))
        began = time.monotonic()
        for _ in range(5):
            write_events(3)
            assert sealer.seal().sealed
        assert time.monotonic() - began < 10
        size = sealer.folder.read_state().size
        wait_until(lambda: AuditWitness.objects.get(name="good").size == size)
        wait_until(lambda: AuditWitness.objects.get(name="broken").reason == "broken")
        hung = next(each for each in threading.enumerate() if each.name == "witness hanging")
        began = time.monotonic()
    assert time.monotonic() - began < 3
    over.set()
    hung.join(10)
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
            assert process.wait(30) == 0
            assert time.monotonic() - began < 10
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
