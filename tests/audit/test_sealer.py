import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction

from audit import clock, log, sealer_folder, tiles
from audit.events import HeartbeatRecorded
from audit.models import AuditCheckpoint, AuditEvent, AuditLeaf, AuditPending
from audit.notes import Checkpoint, Signer, Verifier
from audit.sealer import BATCH, LOCK, Refused
from audit.sealer_folder import AnotherSealer, FolderError, SealerFolder, SealerState, create_key, read_signer
from audit.watch import Watch
from tests.audit.conftest import Connect
from tests.audit.sealing import assert_whole, make_sealer, write_events
from tests.audit.things import CLOCK, ThingChanged

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("committed_db")


def start_sealer(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"KEYSTEAD_SEALER_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "portal.settings"}
    return subprocess.Popen(
        [sys.executable, "manage.py", "audit_sealer", *arguments],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_events_get_dense_places_in_the_order_of_the_queue_and_a_signed_head(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(5)
    waiting = list(AuditPending.objects.order_by("event_id").values_list("event_id", flat=True))
    done = sealer.seal()
    assert (done.sealed, done.size) == (len(waiting), len(waiting))
    assert list(AuditLeaf.objects.order_by("index").values_list("event_id", flat=True)) == waiting
    assert sealer.seal().sealed == 0
    write_events(300)
    sealer.seal()
    assert assert_whole(sealer) == len(waiting) + 300
    assert AuditCheckpoint.objects.count() == 2


def test_an_event_that_commits_late_is_sealed_late_and_not_overlooked(tmp_path: Path, connect: Connect) -> None:
    sealer = make_sealer(tmp_path)
    slow = connect("keystead_application")
    payload = bytes(_payload_of_an_event())
    with slow.transaction():
        slow.execute("INSERT INTO audit_event (payload) VALUES (%s)", (payload,))
        write_events(3)  # numbered later, committed earlier
        sealer.seal()
    _payload_of_an_event()  # a number is used up: the log has no gap all the same
    sealer.seal()
    size = assert_whole(sealer)
    assert size == AuditEvent.objects.count()
    last = AuditLeaf.objects.get(index=size - 1)
    assert last.event_id < AuditLeaf.objects.get(index=size - 2).event_id


def _payload_of_an_event() -> bytes:
    """The bytes of an event that was rolled back."""
    with transaction.atomic():
        uid = log.record(ThingChanged(target_id="late"), actor=CLOCK, at=clock.now())
        payload = AuditEvent.objects.get(uid=uid).payload
        transaction.set_rollback(True)
    return payload


def test_more_than_one_batch_takes_more_than_one_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.sealer.BATCH", 100)
    sealer = make_sealer(tmp_path)
    write_events(350)
    rounds = [sealer.seal() for _ in range(5)]
    assert [each.is_full for each in rounds[:3]] == [True] * 3
    assert rounds[-1].sealed == 0
    assert assert_whole(sealer) >= 350
    assert BATCH <= 65_536


def test_a_second_sealer_waits_for_the_database_and_for_the_folder(tmp_path: Path, connect: Connect) -> None:
    sealer = make_sealer(tmp_path)
    with connect("keystead_sealer") as other:
        with other.transaction():
            other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            assert sealer.seal().busy
        assert not sealer.seal().busy
    with sealer.folder.only_one(), pytest.raises(AnotherSealer), SealerFolder(tmp_path).only_one():
        pass


def test_two_sealers_with_folders_of_their_own_do_no_harm(tmp_path: Path) -> None:
    one = make_sealer(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "signing.key").write_text((tmp_path / "one" / "signing.key").read_text())
    (tmp_path / "two" / "signing.key").chmod(0o400)
    two = make_sealer(tmp_path / "two")
    write_events(3)
    one.seal()
    with pytest.raises(Refused) as refused:
        two.seal()
    assert refused.value.code == "state_lost"
    two.seal(adopt=True)
    for number in range(4):
        write_events(70)
        (one if number % 2 else two).seal()
    one.seal()
    two.seal()
    assert assert_whole(one) == assert_whole(two)


@pytest.mark.parametrize("step", range(1, 14))
def test_a_disk_that_fails_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    sealer = make_sealer(tmp_path)
    write_events(200)
    sealer.seal()
    write_events(100)
    left = [step]
    real = os.fsync

    def failing(handle: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError("no space")
        real(handle)

    monkeypatch.setattr(tiles.os, "fsync", failing)
    try:
        sealer.seal()
    except OSError:
        # Committed all the same: the tiles follow, by this process or by another.
        assert AuditPending.objects.count() == 0
    monkeypatch.setattr(tiles.os, "fsync", real)
    (sealer if step % 2 else make_sealer(tmp_path)).seal()
    assert assert_whole(sealer) >= 300


@pytest.mark.parametrize("table", ["audit_leaf", "audit_node", "audit_checkpoint"])
def test_a_database_that_fails_inside_the_transaction_leaves_nothing_behind(
    tmp_path: Path, connect: Connect, table: str
) -> None:
    sealer = make_sealer(tmp_path)
    write_events(5)
    sealer.seal()
    size = AuditLeaf.objects.count()
    with connect("postgres") as root:
        root.execute(f"REVOKE INSERT ON {table} FROM keystead_sealer")
        write_events(5)
        with pytest.raises(DatabaseError, match="permission denied"):
            sealer.seal()
        assert Watch(sealer).once() == 5.0  # it tries again, and the process lives
        assert AuditLeaf.objects.count() == size
        root.execute(f"GRANT INSERT ON {table} TO keystead_sealer")
    make_sealer(tmp_path).seal()
    assert assert_whole(sealer) == size + 5


@pytest.mark.timeout(240)
def test_killed_at_random_instants_beside_a_writer_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    make_sealer(tmp_path)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            write_events(random.randint(1, 40), f"w{number}")
            number += 1
            time.sleep(0.01)
        connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    state = tmp_path / "state.json"
    try:
        for _ in range(4):
            before = state.stat().st_mtime_ns if state.exists() else 0
            process = start_sealer(tmp_path)
            wait_until(lambda: state.exists() and state.stat().st_mtime_ns != before)  # noqa: B023
            time.sleep(random.uniform(0, 0.6))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
    finally:
        stop.set()
        writer.join()
    done = start_sealer(tmp_path, "--once")
    said, _ = done.communicate(timeout=60)
    assert done.returncode == 0, said
    assert assert_whole(make_sealer(tmp_path)) == AuditEvent.objects.count()


@pytest.mark.timeout(120)
def test_told_to_stop_it_seals_the_rest_and_ends(tmp_path: Path) -> None:
    make_sealer(tmp_path)
    process = start_sealer(tmp_path)
    wait_until(lambda: AuditLeaf.objects.filter(index__gte=0).exists())
    second = start_sealer(tmp_path, "--once")
    second.communicate(timeout=60)
    assert second.returncode == 2  # the folder is held
    write_events(20)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert assert_whole(make_sealer(tmp_path)) == AuditEvent.objects.count()
    assert AuditEvent.objects.filter(action="audit.heartbeat-recorded").exists()


def as_superuser(superuser: "psycopg.Connection[Any]", *statements: str) -> None:
    superuser.execute("SET session_replication_role = replica")
    tables = ("audit_event", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature")
    for table in tables:
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for statement in statements:
        superuser.execute(statement)
    for table in tables:
        superuser.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER audit_append_only")


ATTACKS = {
    "rollback": (
        "DELETE FROM audit_leaf WHERE index >= 20", "DELETE FROM audit_checkpoint WHERE size > 20",
        "DELETE FROM audit_node",
    ),
    "rewrite: a leaf more": ("INSERT INTO audit_leaf VALUES (50, 99999, sha256('x'))",),
    "rewrite: a leaf less": ("DELETE FROM audit_leaf WHERE index = 49",),
    "rewrite: another node": ("UPDATE audit_node SET hash = sha256('x') WHERE level = 5",),
    "rewrite: a node less": ("DELETE FROM audit_node WHERE level = 4 AND index = 2",),
    "rewrite: another root": ("UPDATE audit_checkpoint SET root = sha256('x') WHERE size = 50",),
    "rewrite: a head of another": (
        "INSERT INTO audit_leaf SELECT 50, max(id), sha256('x') FROM audit_event",
        "INSERT INTO audit_checkpoint SELECT 51, sha256('x'), note, now() FROM audit_checkpoint WHERE size = 50",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_database_that_is_not_the_one_we_sealed_is_refused(
    tmp_path: Path, superuser: "psycopg.Connection[Any]", attack: str
) -> None:
    sealer = make_sealer(tmp_path)
    superuser.execute("DELETE FROM audit_pending")
    write_events(20)
    sealer.seal()
    write_events(30)
    sealer.seal()
    write_events(1)
    as_superuser(superuser, *ATTACKS[attack])
    for each in (sealer, make_sealer(tmp_path)):
        with pytest.raises(Refused) as refused:
            each.seal()
        assert refused.value.code == attack.partition(":")[0]
    assert AuditPending.objects.count() == 1
    assert SealerFolder(tmp_path).read_state().size == 50  # type: ignore[union-attr]


def test_a_checkpoint_that_another_key_signed_is_not_taken_up(
    tmp_path: Path, superuser: "psycopg.Connection[Any]"
) -> None:
    sealer = make_sealer(tmp_path)
    superuser.execute("DELETE FROM audit_pending")
    write_events(4)
    sealer.seal()
    forger = make_sealer(tmp_path / "forger")
    forged = forger.signer.sign(Checkpoint(origin=sealer.signer.name, size=5, root=b"r" * 32).body())
    superuser.execute("INSERT INTO audit_leaf VALUES (4, 99999, sha256('x'))")
    superuser.execute("INSERT INTO audit_checkpoint VALUES (5, %s, %s, now())", (b"r" * 32, forged))
    with pytest.raises(Refused, match="not ours"):
        sealer.seal()


def test_a_lost_or_foreign_memory_is_refused_until_somebody_takes_the_responsibility(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(300)
    sealer.seal()
    size = assert_whole(sealer)
    state = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").unlink()
    with pytest.raises(Refused) as refused:
        make_sealer(tmp_path).seal()
    assert refused.value.code == "state_lost"
    assert make_sealer(tmp_path).seal(adopt=True).size == size
    assert assert_whole(make_sealer(tmp_path)) == size
    (tmp_path / "state.json").write_text(state.replace("audit-log/test", "audit-log/other"))
    with pytest.raises(Refused, match="the state is of"):
        make_sealer(tmp_path).seal()
    (tmp_path / "state.json").write_text(state[:40])
    with pytest.raises(FolderError):
        make_sealer(tmp_path).seal()


def test_tiles_that_were_changed_are_refused(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    write_events(300)
    sealer.seal()
    (full,) = (tmp_path / "tiles" / "tile" / "1").rglob("1")
    full.write_bytes(b"x" * 32)
    with pytest.raises(Refused) as refused:
        make_sealer(tmp_path).seal()
    assert refused.value.code == "tiles"


def test_events_that_vanish_from_under_the_queue_or_are_queued_again_alarm_and_stop_nothing(
    tmp_path: Path, superuser: "psycopg.Connection[Any]", settings: Any
) -> None:
    settings.KEYSTEAD_ALARM_MAIL = ["security@example.org"]
    sealer = make_sealer(tmp_path)
    write_events(3)
    sealer.seal()
    superuser.execute("INSERT INTO audit_pending SELECT event_id FROM audit_leaf WHERE index = 1")
    superuser.execute("INSERT INTO audit_pending VALUES (1000000)")
    write_events(2)
    watch = Watch(sealer)
    assert watch.once() < 1
    assert sorted(code for code, _ in sealer.odd_entries()) == ["queued_again", "vanished"]
    assert sorted(each.subject.rsplit("(")[1] for each in mail.outbox) == ["queued_again)", "vanished)"]
    watch._next_odd = 0
    watch.once()
    assert len(mail.outbox) == 2
    found = AuditEvent.objects.filter(action="audit.queue-distrusted")
    assert sorted(each.envelope()["reason"] for each in found) == ["queued-again", "vanished"]
    sealer.seal()
    assert AuditPending.objects.count() == 2


def test_a_refusal_is_told_once_and_the_sealer_goes_on_looking(
    tmp_path: Path, superuser: "psycopg.Connection[Any]", settings: Any
) -> None:
    settings.KEYSTEAD_ALARM_MAIL = ["security@example.org"]
    sealer = make_sealer(tmp_path)
    write_events(3)
    watch = Watch(sealer)
    watch.once()
    watch.once()
    as_superuser(superuser, "DELETE FROM audit_leaf WHERE index = 1", "DELETE FROM audit_checkpoint")
    assert [watch.once(), watch.once()] == [5.0, 5.0]
    assert len(mail.outbox) == 1
    assert "rollback" in mail.outbox[0].subject


def test_a_heartbeat_says_where_the_log_stands(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    watch = Watch(sealer)
    watch.once()
    watch.once()
    (beat,) = AuditEvent.objects.filter(action=HeartbeatRecorded.action)
    assert beat.envelope()["details"]["started"] is True  # type: ignore[index,call-overload]
    watch._next_heartbeat = 0
    watch.once()
    assert AuditEvent.objects.filter(action=HeartbeatRecorded.action).count() == 2


def test_the_key_is_made_once_and_only_its_owner_reads_it(
    tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.KEYSTEAD_SEALER_FOLDER = tmp_path / "new"
    settings.KEYSTEAD_SEALER_KEY_FILE = tmp_path / "new" / "signing.key"
    with pytest.raises(CommandError, match="no signing key"):
        call_command("audit_sealer", "--once")
    call_command("audit_sealer", "--generate-key", "--name", "log.example/audit")
    pinned = Verifier.parse(capsys.readouterr().out.splitlines()[-1])
    assert Verifier.parse((tmp_path / "new" / "log.vkey").read_text()) == pinned
    key = tmp_path / "new" / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o400
    assert read_signer(key).verifier == pinned
    with pytest.raises(CommandError, match="never replaced"):
        call_command("audit_sealer", "--generate-key")
    write_events(1)
    call_command("audit_sealer", "--once")
    assert "events sealed" in capsys.readouterr().out
    key.chmod(0o440)
    with pytest.raises(CommandError, match="read by others"):
        call_command("audit_sealer", "--once")
    key.chmod(0o600)
    key.write_text("no key")
    with pytest.raises(FolderError, match="no signing key"):
        read_signer(key)
    with pytest.raises(FolderError):
        SealerState.parse('{"origin": "a", "root": "00"}')
    assert isinstance(create_key(SealerFolder(tmp_path / "third")), Verifier)
    assert Signer.parse((tmp_path / "third" / sealer_folder.KEY_NAME).read_text()).name.startswith(
        "keystead/audit-log/"
    )


def test_the_application_cannot_seal(connect: Connect) -> None:
    with connect("keystead_application") as session:
        for statement in (
            "INSERT INTO audit_leaf VALUES (0, 1, sha256('x'))",
            "INSERT INTO audit_checkpoint VALUES (1, sha256('x'), 'note', now())",
            "DELETE FROM audit_pending",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
    assert connection.alias == "default"
