"""Killed at any instant, beside writers that are killed too, the log loses and doubles nothing."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connections

from audit import tiles
from audit.models import AuditEvent, AuditLeaf, AuditPending
from audit.watch import Watch
from tests.audit.conftest import Connect
from tests.audit.processes import start_sealer, start_writer, wait_until
from tests.audit.sealing import assert_whole, make_sealer, write_events

pytestmark = pytest.mark.usefixtures("committed_db")


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


def kill_and_start_again(folder: Path, *, seconds: float) -> None:
    """Let sealers and writers die at random instants for so long, then seal the rest and look at everything."""
    make_sealer(folder / "sealer")
    notes = folder / "acknowledged"
    notes.touch()
    processes = {"sealer": start_sealer(folder / "sealer"), **{f"w{n}": start_writer(notes) for n in range(2)}}
    state = folder / "sealer" / "state.json"
    kills = 0
    try:
        wait_until(lambda: state.exists() and notes.stat().st_size > 0)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            name = random.choice(list(processes))
            before = (state.stat().st_mtime_ns, notes.stat().st_size)
            os.kill(processes[name].pid, signal.SIGKILL)
            processes[name].communicate()
            kills += 1
            processes[name] = start_sealer(folder / "sealer") if name == "sealer" else start_writer(notes)
            moved = 0 if name == "sealer" else 1
            wait_until(lambda: (state.stat().st_mtime_ns, notes.stat().st_size)[moved] != before[moved])  # noqa: B023
            time.sleep(random.uniform(0, 0.4))
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    done = start_sealer(folder / "sealer", "--once")
    said, _ = done.communicate(timeout=120)
    assert done.returncode == 0, said
    assert kills
    assert assert_whole(make_sealer(folder / "sealer")) == AuditEvent.objects.count()
    known = notes.read_text().split()
    sealed = list(
        AuditEvent.objects.filter(id__in=AuditLeaf.objects.values("event_id"), target_id__startswith="w")
        .values_list("target_id", flat=True)
    )  # fmt: skip
    assert len(sealed) == len(set(sealed))  # none is doubled
    assert set(known) <= set(sealed)  # none that somebody was told of is lost


@pytest.mark.timeout(240)
def test_sealer_and_writers_killed_at_random_instants_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_and_start_again(tmp_path, seconds=6)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_sealer_and_writers_killed_for_ten_minutes_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_and_start_again(tmp_path, seconds=600)


@pytest.mark.timeout(240)
def test_two_sealers_at_once_beside_writers_give_every_event_one_place(tmp_path: Path) -> None:
    one = make_sealer(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "signing.key").write_text((tmp_path / "one" / "signing.key").read_text())
    (tmp_path / "two" / "signing.key").chmod(0o400)
    two = make_sealer(tmp_path / "two")
    one.seal()
    two.seal(adopt=True)
    stop, failures = threading.Event(), []

    def seal(sealer: Any) -> None:
        try:
            while not stop.is_set():
                sealer.seal()
        except Exception as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=seal, args=(each,)) for each in (one, two)]
    for thread in threads:
        thread.start()
    for number in range(60):
        write_events(random.randint(1, 30), f"w{number}")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    one.seal()
    two.seal()
    assert assert_whole(one) == assert_whole(two) == AuditEvent.objects.count()
