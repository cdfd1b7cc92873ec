"""What a verifier does besides never stops it: a folder that takes no file costs counts and nothing else."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path

import pytest

from keys.verification.counting import tallies as counting
from keys.verification.counting.tallies import SIZE, Tallies, read
from keys.verification.memory import lease
from keys.verification.memory.feed import Feed
from keys.verification.memory.snapshot import Entry, Grant, Place
from portal.verify.serving.upkeep import Upkeep


@pytest.fixture
def entry():
    grant = Grant(Place(uuid.uuid4(), uuid.uuid4()), "bearer", uuid.uuid4(), (), ())
    return Entry(uuid.uuid4(), uuid.uuid4(), b"", grant, 0.0, None)


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that has no room for one more file until it is told."""
    room = threading.Event()

    def allocate(descriptor, offset, size):
        if not room.is_set():
            raise OSError(28, "No space left on device")
        os.ftruncate(descriptor, size)

    monkeypatch.setattr(counting, "PERIOD", 0.0)
    monkeypatch.setattr(counting, "GRACE", 0.0)

    def begins():
        monkeypatch.setattr(counting.os, "posix_fallocate", allocate)
        return room

    return begins


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_full_disk_stops_no_verifier_and_counting_goes_on_where_there_is_room(tmp_path, entry, full_disk):
    tallies = Tallies(tmp_path)
    upkeep = Upkeep(None, tallies)
    tallies.file.count(entry, "valid", 1_800_000_000.0)
    room, before = full_disk(), descriptors()
    for _ in range(5):
        upkeep.turn()
        tallies.file.count(entry, "valid", 1_800_000_001.0)
    assert descriptors() == before, "what could not be made is let go"
    assert [path.suffix for path in tmp_path.iterdir()] == [".uses"], "and takes no room"
    room.set()
    first = tallies.file.path
    upkeep.turn()
    assert tallies.file.path != first
    tallies.file.count(entry, "valid", 1_800_000_002.0)
    tallies.close()
    assert sorted(each.count for path in tmp_path.glob("*.uses") for each in read(path.read_bytes())) == [1, 6]
    assert all(path.stat().st_size == SIZE for path in tmp_path.iterdir())


def test_a_door_opens_on_a_full_disk_and_counts_when_there_is_room(tmp_path, entry, full_disk):
    room = full_disk()
    tallies = Tallies(tmp_path)
    tallies.turn()
    tallies.file.count(entry, "valid", 1_800_000_000.0)
    assert not list(tmp_path.iterdir())
    room.set()
    tallies.turn()
    tallies.file.count(entry, "valid", 1_800_000_001.0)
    tallies.close()
    (path,) = tmp_path.iterdir()
    assert [each.count for each in read(path.read_bytes())] == [1]


def test_a_folder_that_is_none_is_told_of_at_once(tmp_path):
    (tmp_path / "usage").write_text("a file")
    with pytest.raises(FileExistsError):
        Tallies(tmp_path / "usage")


def test_whatever_goes_wrong_beside_it_the_thread_of_a_feed_lives(monkeypatch):
    turns = threading.Semaphore(0)

    def turn():
        turns.release()
        raise OSError(28, "No space left on device")

    feed = Feed(on_tick=turn)
    monkeypatch.setattr(feed, "catch_up", lambda: None)
    monkeypatch.setattr(feed, "tick", lambda: None)
    monkeypatch.setattr(lease, "end", lambda holder: None)
    thread = threading.Thread(target=feed._follow, daemon=True)
    thread.start()
    try:
        assert all(turns.acquire(timeout=60) for _ in range(3))
    finally:
        feed._over.set()
        thread.join(60)


def test_what_callers_showed_is_forgotten_at_each_turn(tmp_path):
    turns = []
    upkeep = Upkeep(None, Tallies(tmp_path))
    upkeep.turn()
    upkeep.goes_with(Feed(name="away"), None, forget=lambda: turns.append("forgotten"))
    upkeep.turn()
    upkeep.turn()
    assert turns == ["forgotten"] * 2
