"""The client of a witness: it proves growth, tells another history from a refusal, and believes no nonsense."""

import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audit.notes import COSIGNATURE, Note, Signer
from audit.witness.base import AnotherHistory, WitnessFailed
from audit.witness.cosigner import Cosigner
from audit.witness.http_witness import HttpWitness
from tests.audit.witness.logs import SIGNER, WITNESS, GrowingLog, served
from tests.audit.witness.publishing import http_witness


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
