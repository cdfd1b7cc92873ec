"""A witness that comes by and looks: over a folder and over HTTP, with and without a full copy."""

import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from audit import verify
from audit.notes import Note
from audit.witness.base import AnotherHistory, WitnessFailed
from audit.witness.cosigner import create_witness_key
from audit.witness.pull import look, source_at
from tests.audit.witness.logs import SIGNER, WITNESS, GrowingLog, cosigner

LOGS = [SIGNER.verifier]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None:
        pass


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """Serve a folder as any web server does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def show(log: GrowingLog, size: int) -> None:
    log.grow(size)
    (log.tiles.folder / "checkpoint").write_text(log.note())


@pytest.fixture(params=["folder", "http"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "log").mkdir()
    if request.param == "folder":
        yield str(tmp_path / "log")
    else:
        with files_of(tmp_path / "log") as url:
            yield url


def test_what_grew_is_cosigned_and_a_full_copy_is_hashed_and_kept(place: str, tmp_path: Path) -> None:
    log, witness, keep = GrowingLog(tmp_path / "log"), cosigner(tmp_path / "w"), tmp_path / "copy"
    for size in (3, 3, 250, 256, 700):
        show(log, size)
        assert look(source_at(place), witness, LOGS, keep=keep).size == size
        assert witness.remembered(SIGNER.name).size == size
    shutil.copy(tmp_path / "log" / "checkpoint", keep / "checkpoint")
    assert verify.main(["tiles", str(keep), "--key", SIGNER.verifier.text()]) == 0


def test_a_log_that_was_set_back_or_rewritten_is_another_history(place: str, tmp_path: Path) -> None:
    log, witness = GrowingLog(tmp_path / "log"), cosigner(tmp_path / "w")
    show(log, 400)
    look(source_at(place), witness, LOGS)
    for size, twist, code in ((300, None, "ahead"), (500, 300, "fork"), (400, 0, "fork")):
        shutil.rmtree(tmp_path / "log" / "tile")
        show(GrowingLog(tmp_path / "log", twist=twist), size)
        with pytest.raises(AnotherHistory) as found:
            look(source_at(place), witness, LOGS)
        assert found.value.code == code
    assert witness.remembered(SIGNER.name).size == 400


def test_an_entry_that_is_not_what_was_hashed_is_found_by_who_keeps_a_copy(place: str, tmp_path: Path) -> None:
    log, witness = GrowingLog(tmp_path / "log"), cosigner(tmp_path / "w")
    show(log, 300)
    bundle = tmp_path / "log" / "tile" / "entries" / "000"
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 7", b"entry X", 1))
    with pytest.raises(AnotherHistory):
        look(source_at(place), witness, LOGS, keep=tmp_path / "copy")
    assert witness.remembered(SIGNER.name).size == 0
    assert not (tmp_path / "copy" / "size").exists()
    assert look(source_at(place), witness, LOGS).size == 300  # hashes alone do not show it


def test_a_log_that_cannot_be_seen_is_no_answer(place: str, tmp_path: Path) -> None:
    log, witness = GrowingLog(tmp_path / "log"), cosigner(tmp_path / "w")
    with pytest.raises(WitnessFailed) as failed:
        look(source_at(place), witness, LOGS)
    assert failed.value.code == "unreachable"
    show(log, 3)
    look(source_at(place), witness, LOGS)
    show(log, 600)
    shutil.rmtree(tmp_path / "log" / "tile")
    with pytest.raises(WitnessFailed) as failed:
        look(source_at(place), witness, LOGS)
    assert (failed.value.code, isinstance(failed.value, AnotherHistory)) == ("tiles", False)
    with pytest.raises(WitnessFailed) as failed:
        look(source_at(place), witness, [WITNESS.verifier])
    assert failed.value.code == "unknown_key"


def test_the_command_for_cron_says_by_its_exit_code_how_it_was(place: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "w", io.StringIO()
    pull = partial(
        call_command, "audit_witness", "--folder", folder, "--log", SIGNER.verifier.text(), "--pull", place, stdout=out
    )
    with pytest.raises(CommandError) as refused:
        pull()
    assert refused.value.returncode == 2  # no key
    create_witness_key(folder / "witness.key", name="w2.example")
    show(GrowingLog(tmp_path / "log"), 40)
    pull("--keep", tmp_path / "copy")
    assert "40 leaves, cosigned" in out.getvalue()
    (note,) = folder.glob("*/checkpoint")
    assert Note.parse(note.read_text()).signatures[-1].name == "w2.example"
    shutil.rmtree(tmp_path / "log" / "tile")
    show(GrowingLog(tmp_path / "log", twist=4), 41)
    with pytest.raises(CommandError) as refused:
        pull()
    assert refused.value.returncode == 1
    assert "ANOTHER HISTORY (fork)" in str(refused.value)


def test_a_key_is_made_by_the_command(tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("audit_witness", "--folder", tmp_path, "--generate-key", "--name", "w4.example", stdout=out)
    assert (tmp_path / "witness.vkey").read_text().strip() in out.getvalue()
    binds = (["--log", SIGNER.verifier.text(), "--bind", where] for where in ("nowhere", "127.0.0.1:99999"))
    for words in (["--generate-key", "--name", "w4.example"], ["--generate-key"], [], ["--log", "x+y+z"], *binds):
        with pytest.raises(CommandError) as refused:
            call_command("audit_witness", "--folder", tmp_path, *words, stdout=out)
        assert refused.value.returncode == 2
