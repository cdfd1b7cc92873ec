"""The witness of C2SP tlog-witness: what it signs, what it refuses, and that it never forgets what it signed."""

import hashlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.merkle import EMPTY_ROOT
from audit.notes import Checkpoint, Note, NoteError, Signer, open_checkpoint
from audit.tile_proofs import growth_of, root_of
from audit.witness.cosigner import SIZE_TYPE, Cosigner, MemoryTorn, Submission, create_witness_key, read_witness_key
from tests.audit.witness.logs import SIGNER, WITNESS, GrowingLog, ask, cosigner, served, submission

ROOT = Path(__file__).resolve().parents[3]
ORIGIN_HASH = hashlib.sha256(SIGNER.name.encode()).hexdigest()
MIDNIGHT = int(datetime(2028, 3, 1, tzinfo=UTC).timestamp())

# The example of the specification (c2sp.org/tlog-witness, add-checkpoint).
EXAMPLE = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""


def test_the_example_of_the_specification_is_read() -> None:
    asked = Submission.parse(EXAMPLE.encode())
    assert (asked.old, len(asked.proof), asked.checkpoint.size) == (20852014, 4, 20852163)
    assert asked.checkpoint.origin == "example.com/behind-the-sofa"
    assert len(asked.note.signatures) == 2


@pytest.mark.parametrize("bend", [
    lambda t: t.replace("old 2", "old 02"), lambda t: t.replace("old ", "old  "), lambda t: t.replace("old ", "Old "),
    lambda t: t[4:], lambda t: "", lambda t: t.partition("\n\n")[0], lambda t: t.replace("PlRN", "PlR"),
    lambda t: t.replace("\n\nexample", "\nexample"), lambda t: t[:-1], lambda t: t.replace("=\n", "=\r\n", 1),
    lambda t: t.replace("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n", "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 61),
    lambda t: t.replace("20852163", "-1"), lambda t: "old -1" + t[12:],
])  # fmt: skip
def test_what_is_no_submission_is_400(bend, tmp_path: Path) -> None:
    assert cosigner(tmp_path).add_checkpoint(bend(EXAMPLE).encode()).status == 400
    assert cosigner(tmp_path).add_checkpoint(b"\xff" + EXAMPLE.encode()).status == 400


def test_what_grows_is_cosigned_and_what_is_remembered_is_served(tmp_path: Path) -> None:
    log, before = GrowingLog(tmp_path / "log"), int(time.time())
    with served(cosigner(tmp_path / "w")) as url:
        assert ask(f"{url}/{ORIGIN_HASH}/checkpoint")[0] == 404
        for old, new in ((0, 1), (1, 5), (5, 5), (5, 300), (300, 700)):
            log.grow(new)
            status, line, _ = ask(f"{url}/add-checkpoint", log.submission(old))
            assert status == 200
            at = Note.parse(log.note() + line).verified_by(WITNESS.verifier)
            assert at is not None
            assert before <= at <= time.time()
            status, shown, _ = ask(f"{url}/{ORIGIN_HASH}/checkpoint")
            assert (status, shown) == (200, log.note() + line)
            assert open_checkpoint(shown, [SIGNER.verifier]).size == new


def test_the_first_of_each_day_stays_under_the_day_of_its_signature(tmp_path: Path) -> None:
    log, ticks = GrowingLog(tmp_path / "log"), itertools.count(MIDNIGHT - 1)
    witness = Cosigner(tmp_path / "w", WITNESS, [SIGNER.verifier], clock=lambda: next(ticks))
    for old, new in ((0, 1), (1, 5), (5, 8)):
        log.grow(new)
        assert witness.add_checkpoint(log.submission(old)).status == 200
    kept = (tmp_path / "w" / ORIGIN_HASH / "kept").iterdir()
    sizes = {each.stem: open_checkpoint(each.read_text(), [SIGNER.verifier]).size for each in kept}
    assert sizes == {"2028-02-29": 1, "2028-03-01": 5}


def test_a_wrong_old_size_is_409_with_the_size_that_was_seen(tmp_path: Path) -> None:
    log = GrowingLog(tmp_path / "log")
    with served(cosigner(tmp_path / "w")) as url:
        log.grow(40)
        assert ask(f"{url}/add-checkpoint", log.submission(7))[::2] == (409, SIZE_TYPE)
        assert ask(f"{url}/add-checkpoint", log.submission(7))[1] == "0\n"
        assert ask(f"{url}/add-checkpoint", log.submission(0))[0] == 200
        for old in (0, 39):
            assert ask(f"{url}/add-checkpoint", log.submission(old))[:2] == (409, "40\n")


def test_a_log_that_was_set_back_is_refused(tmp_path: Path) -> None:
    witness, old = cosigner(tmp_path / "w"), GrowingLog(tmp_path / "old")
    old.grow(25)
    early = old.submission(0), old.submission(25)
    old.grow(40)
    assert witness.add_checkpoint(old.submission(0)).status == 200
    for asked in early:
        answer = witness.add_checkpoint(asked)
        assert (answer.status, answer.body) == (409, "40\n")
    assert witness.add_checkpoint(submission(40, [], log_of(25, tmp_path).note())).status == 400
    assert witness.remembered(SIGNER.name).size == 40


def log_of(size: int, folder: Path) -> GrowingLog:
    log = GrowingLog(folder / f"at{size}")
    log.grow(size)
    return log


def test_a_fork_and_a_bad_proof_are_422_and_kept_as_evidence(tmp_path: Path) -> None:
    witness, log = cosigner(tmp_path / "w"), GrowingLog(tmp_path / "log")
    log.grow(40)
    assert witness.add_checkpoint(log.submission(0)).status == 200
    fork = GrowingLog(tmp_path / "fork", twist=17)
    for size in (40, 41, 64, 100):
        fork.grow(size)
        assert witness.add_checkpoint(fork.submission(40)).status == 422, size
    log.grow(80)
    good = growth_of(log.tiles, 40, 80, size=80)
    for proof in ([], good[:-1], [*good, good[0]], good[::-1]):
        assert witness.add_checkpoint(submission(40, proof, log.note())).status == 422
    assert witness.remembered(SIGNER.name).size == 40
    evidence = sorted(each.name.split("-")[0] for each in (tmp_path / "w" / ORIGIN_HASH / "evidence").iterdir())
    assert evidence == ["100", "40", "41", "64", "80"]
    assert witness.add_checkpoint(log.submission(40)).status == 200


def test_the_empty_log_has_one_root_and_no_proof(tmp_path: Path) -> None:
    witness = cosigner(tmp_path / "w")
    for root, status in ((b"x" * 32, 422), (EMPTY_ROOT, 200), (EMPTY_ROOT, 200)):
        note = SIGNER.sign(Checkpoint(origin=SIGNER.name, size=0, root=root).body())
        assert witness.add_checkpoint(submission(0, [], note)).status == status
    log = GrowingLog(tmp_path / "log")
    log.grow(3)
    assert witness.add_checkpoint(submission(0, [EMPTY_ROOT], log.note())).status == 422
    assert witness.add_checkpoint(log.submission(0)).status == 200


def test_an_unknown_log_is_404_and_a_stranger_in_its_name_403(tmp_path: Path) -> None:
    witness = cosigner(tmp_path / "w")
    other = GrowingLog(tmp_path / "other", signer=Signer.generate("other.example"))
    other.grow(3)
    assert witness.add_checkpoint(other.submission(0)).status == 404
    stranger = Signer.generate(SIGNER.name)
    forged = GrowingLog(tmp_path / "forged", signer=stranger)
    forged.grow(3)
    assert witness.add_checkpoint(forged.submission(0)).status == 403
    body = Note.parse(forged.note()).body
    # The line of the known key is there, and is not over this body.
    wrong = SIGNER.sign(Checkpoint(origin=SIGNER.name, size=9, root=EMPTY_ROOT).body()).splitlines()[-1]
    assert witness.add_checkpoint(submission(0, [], f"{body}\n{wrong}\n")).status == 403
    assert witness.add_checkpoint(submission(0, [], f"{SIGNER.sign(body)}{wrong}\n")).status == 403
    assert witness.remembered(SIGNER.name).size == 0
    # Another's signature beside the known one is nobody's business.
    assert witness.add_checkpoint(submission(0, [], SIGNER.sign(body) + stranger.signature_line(body))).status == 200


def test_a_log_may_sign_with_two_keys_while_one_is_replaced(tmp_path: Path) -> None:
    second = Signer.generate(SIGNER.name)
    witness = Cosigner(tmp_path / "w", WITNESS, [SIGNER.verifier, second.verifier])
    log = GrowingLog(tmp_path / "log")
    log.grow(5)
    both = log.note() + second.signature_line(Note.parse(log.note()).body)
    assert witness.add_checkpoint(submission(0, [], both)).status == 200
    shown = witness.newest(ORIGIN_HASH)
    assert shown is not None
    for verifier in (SIGNER.verifier, second.verifier, WITNESS.verifier):
        Note.parse(shown).verified_by(verifier)


def test_a_torn_memory_is_no_fresh_start(tmp_path: Path) -> None:
    witness, log = cosigner(tmp_path / "w"), GrowingLog(tmp_path / "log")
    log.grow(40)
    assert witness.add_checkpoint(log.submission(0)).status == 200
    memory = tmp_path / "w" / ORIGIN_HASH / "checkpoint"
    whole = memory.read_text()
    for torn in ("", whole[:-20], whole.replace("\n40\n", "\n20\n"), log.note()):
        memory.write_text(torn)
        with pytest.raises(MemoryTorn):
            witness.add_checkpoint(log.submission(0))
        with served(witness) as url:
            assert ask(f"{url}/add-checkpoint", log.submission(40))[0] == 500
    memory.write_text(whole)
    assert witness.add_checkpoint(log.submission(40)).status == 200


def test_two_at_once_never_set_the_memory_back(tmp_path: Path) -> None:
    """The race of the specification: both were checked against the same size, and the smaller is written last."""
    log = GrowingLog(tmp_path / "log")
    log.grow(10)
    first, asked = log.submission(0), []
    for size in (12, 11):
        fresh = GrowingLog(tmp_path / f"log{size}", twist=10 if size == 11 else None)
        fresh.grow(10)
        fresh.grow(size)
        asked.append((size, fresh.submission(10)))
    for turn in range(30):
        folder = tmp_path / f"w{turn}"
        assert cosigner(folder).add_checkpoint(first).status == 200
        statuses: dict[int, int] = {}
        barrier = threading.Barrier(2)

        def send(size: int, raw: bytes, folder: Path, barrier: threading.Barrier, statuses: dict[int, int]) -> None:
            # Objects of their own, as processes would have: only the lock of the folder holds them apart.
            own = cosigner(folder)
            barrier.wait()
            statuses[size] = own.add_checkpoint(raw).status

        threads = [threading.Thread(target=send, args=(*each, folder, barrier, statuses)) for each in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses.values()) == [200, 409], statuses
        (signed,) = [size for size, status in statuses.items() if status == 200]
        assert cosigner(folder).remembered(SIGNER.name).size == signed


def start_witness(folder: Path, *environment: tuple[str, str]) -> tuple["subprocess.Popen[str]", str]:
    """A witness as on a second host: no database, no secrets of ours, only its folder and the log's public key."""
    bare = {"PATH": os.environ["PATH"], "KEYSTEAD_ENV": "production", "KEYSTEAD_DATA": str(folder / "nothing")}
    witness = subprocess.Popen(
        [sys.executable, "manage.py", "audit_witness", "--folder", str(folder), "--log", SIGNER.verifier.text(),
         "--bind", "127.0.0.1:0"],
        cwd=ROOT, env=bare | dict(environment), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert witness.stdout is not None
    line = witness.stdout.readline()
    assert "witnesses on" in line, line + witness.stdout.read()
    return witness, f"http://{line.split()[-1]}"


def test_it_runs_without_a_database_and_remembers_across_kills(tmp_path: Path) -> None:
    folder, log = tmp_path / "w", GrowingLog(tmp_path / "log")
    verifier = create_witness_key(folder / "witness.key", name="w2.example")
    answered = 0
    for turn in range(3):
        witness, url = start_witness(folder)
        try:
            for size in range(turn * 50 + 10, turn * 50 + 50, 20):
                log.grow(size)
                assert ask(f"{url}/add-checkpoint", log.submission(answered))[0] == 200
                answered = size
            assert ask(f"{url}/healthz")[0] == 200
        finally:
            if turn < 2:
                witness.send_signal(signal.SIGKILL)
            else:
                witness.terminate()
                assert witness.wait(60) == 0
            witness.communicate()
    shown = (folder / ORIGIN_HASH / "checkpoint").read_text()
    Note.parse(shown).verified_by(verifier)
    assert open_checkpoint(shown, [SIGNER.verifier]).size == answered


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_witness_killed_around_its_memory_gives_no_second_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Killed between memory and answer: it has seen what it never answered, and refuses the other log all the same."""
    folder, log, fork = tmp_path / "w", GrowingLog(tmp_path / "log"), GrowingLog(tmp_path / "fork", twist=5)
    log.grow(20)
    fork.grow(20)
    child = os.fork()
    if child == 0:  # a process of its own that dies by SIGKILL at this very step
        witness = cosigner(folder)
        keep = witness._remember

        def dying(memory: Path, text: str, *, at: int) -> None:
            if moment == "after":
                keep(memory, text, at=at)
            os.kill(os.getpid(), signal.SIGKILL)

        witness._remember = dying  # type: ignore[method-assign]
        witness.add_checkpoint(log.submission(0))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    witness = cosigner(folder)
    if moment == "before":  # nothing was said, nothing is remembered
        assert witness.remembered(SIGNER.name).size == 0
        return
    assert witness.add_checkpoint(fork.submission(0)).body == "20\n"
    assert witness.add_checkpoint(fork.submission(20)).status == 422
    assert witness.add_checkpoint(log.submission(20)).status == 200


def test_the_memory_is_on_disk_before_anybody_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, synced = GrowingLog(tmp_path / "log"), []
    log.grow(3)
    witness = cosigner(tmp_path / "w")
    monkeypatch.setattr(
        "audit.tiles.os.fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
    )
    assert witness.add_checkpoint(log.submission(0)).status == 200
    names = [Path(each).name for each in synced]
    assert any(name.startswith(".checkpoint") for name in names)
    assert ORIGIN_HASH in names
    log.grow(4)
    monkeypatch.setattr("audit.tiles.os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        witness.add_checkpoint(log.submission(3))
    monkeypatch.undo()
    assert witness.remembered(SIGNER.name).size == 3


def test_odd_requests_change_nothing_and_break_nothing(tmp_path: Path) -> None:
    log = GrowingLog(tmp_path / "log")
    log.grow(3)
    with served(cosigner(tmp_path / "w")) as url:
        for path in ("/", "/../w/witness.key", f"/{ORIGIN_HASH}/../lock", f"/{ORIGIN_HASH}/lock", "/add-checkpoint"):
            assert ask(url + path)[0] == 404
        assert ask(f"{url}/else", log.submission(0))[0] == 404
        assert ask(f"{url}/add-checkpoint", b"x" * 200_000)[0] == 413
        host, port = url.removeprefix("http://").split(":")
        for raw in (b"POST /add-checkpoint HTTP/1.1\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"GET " + b"a" * 70_000, b""):
            with socket.create_connection((host, int(port)), timeout=60) as wire:
                wire.sendall(raw)
                wire.shutdown(socket.SHUT_WR)
                assert b"200 OK" not in wire.recv(4096)
        assert ask(f"{url}/add-checkpoint", log.submission(0))[0] == 200


def test_a_key_is_made_once_for_its_owners_eyes(tmp_path: Path) -> None:
    verifier = create_witness_key(tmp_path / "witness.key", name="w3.example")
    assert (tmp_path / "witness.vkey").read_text().strip() == verifier.text()
    assert read_witness_key(tmp_path / "witness.key").verifier == verifier
    with pytest.raises(FileExistsError):
        create_witness_key(tmp_path / "witness.key", name="w3.example")
    (tmp_path / "witness.key").chmod(0o440)
    with pytest.raises(NoteError):
        read_witness_key(tmp_path / "witness.key")
    with pytest.raises(NoteError):
        Cosigner(tmp_path, SIGNER, [SIGNER.verifier])
    with pytest.raises(NoteError):
        Cosigner(tmp_path, WITNESS, [])


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 700), min_size=3, max_size=3, unique=True).map(sorted))
def test_any_growth_is_proved_from_tiles_and_any_other_log_is_refused(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    log, witness, roots = GrowingLog(folder / "log"), cosigner(folder / "w"), {}
    seen = 0
    for size in sizes:
        log.grow(size)
        roots[size] = log.writer.tree.root()
        assert witness.add_checkpoint(log.submission(seen)).status == 200
        seen = size
    for size, root in roots.items():
        assert root_of(log.tiles, size, size=seen) == root
    fork = GrowingLog(folder / "fork", twist=sizes[0] - 1)
    fork.grow(seen + 1)
    assert witness.add_checkpoint(fork.submission(seen)).status == 422
