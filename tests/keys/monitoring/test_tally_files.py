"""Counting survives the death of whoever counts, and is added once."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keys.crypto.key_text import mint
from keys.models import Sighting, UsageBatch, UsageCount
from keys.monitoring import tally_files
from keys.monitoring.tally_files import add_batch, add_files
from keys.verification.counting.sightings import MOST_SIGHTINGS, note_use
from keys.verification.counting.tallies import MAGIC, NOBODY, Tallies, Tally, TallyFile, read
from keys.verification.memory.snapshot import Entry, Grant, Place
from keys.verification.verifier import Client
from tests.people import issued
from tests.servers import ROOT

COUNTING = """
import sys, time, uuid
import django
django.setup()
from pathlib import Path
from keys.verification.memory.snapshot import Entry, Grant, Place
from keys.verification.counting.tallies import TallyFile
grant = Grant(Place(uuid.uuid4(), uuid.uuid4()), "bearer", uuid.uuid4(), (), ())
entry = Entry(uuid.UUID(sys.argv[2]), uuid.uuid4(), b"", grant, 0.0, None)
file = TallyFile(Path(sys.argv[1]))
for number in range(100_000):
    file.count(entry, "valid", time.time(), (None, "", f"pod-{number % 7}"))
print("counted", flush=True)
time.sleep(600)
"""


@pytest.fixture
def version(world):
    return issued(world)[1]


def seen_as(client):
    return client.address, client.user_agent, client.instance


def tally(version, instance="", count=1, at=1_800_000_000.0):
    client = Client(address="192.0.2.1", instance=instance)
    return Tally(version=version.pk, outcome="valid", client=client, count=count, first_at=at, last_at=at)


def test_nothing_is_lost_when_the_process_is_killed(version, tmp_path):
    command = [sys.executable, "-c", COUNTING, str(tmp_path), str(version.pk)]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "portal.settings"}
    counting = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert counting.stdout is not None
    with counting:
        assert counting.stdout.readline() == "counted\n"
        assert add_files(tmp_path) == 0, "whoever counts holds the file"
        counting.send_signal(signal.SIGKILL)
    assert add_files(tmp_path) == 100_000
    assert UsageCount.objects.get(version=version).count == 100_000
    assert Sighting.objects.filter(version=version).count() == 7
    assert not list(tmp_path.glob("*.uses"))


def test_a_batch_is_added_once_however_often_it_is_brought(version):
    batch = uuid.uuid4()
    assert [add_batch(batch, [tally(version, count=5)]) for _ in range(3)] == [5, 0, 0]
    assert UsageCount.objects.get(version=version).count == 5
    assert UsageBatch.objects.count() == 1


def test_two_batches_add_up_and_the_latest_time_stays(version):
    add_batch(uuid.uuid4(), [tally(version, count=2, at=1_800_000_600.0)])
    add_batch(uuid.uuid4(), [tally(version, count=3, at=1_800_000_000.0), tally(version, "pod-2")])
    row = UsageCount.objects.get(version=version)
    assert (row.count, row.last_at.timestamp()) == (6, 1_800_000_600.0)
    assert sorted(Sighting.objects.values_list("instance", "count")) == [("", 5), ("pod-2", 1)]


def test_invented_clients_fill_no_disk(version, monkeypatch):
    monkeypatch.setattr(tally_files, "MOST_SIGHTINGS", 10)
    add_batch(uuid.uuid4(), [tally(version, f"pod-{number}") for number in range(8)])
    add_batch(uuid.uuid4(), [tally(version, f"pod-{number}") for number in range(40)])
    assert Sighting.objects.filter(version=version).count() == 10
    assert UsageCount.objects.get(version=version).count == 48, "what is not remembered is counted all the same"
    assert MOST_SIGHTINGS == 1000


def test_a_version_that_is_gone_and_a_file_that_is_none_hold_nothing_up(version, tmp_path):
    gone = Tally(version=uuid.uuid4(), outcome="valid", client=Client(), count=1, first_at=1.0, last_at=1.0)
    add_batch(uuid.uuid4(), [gone, tally(version)])
    assert UsageCount.objects.get().count == 1
    (tmp_path / "what.uses").write_bytes(b"KSUSES1\n")
    (tmp_path / f"{uuid.uuid4()}.uses").write_bytes(b"something else")
    assert add_files(tmp_path) == 0


def test_what_the_database_cannot_hold_keeps_nothing_else_from_it(version, tmp_path):
    grant = Grant(Place(uuid.uuid4(), uuid.uuid4()), "bearer", uuid.uuid4(), (), ())
    entry = Entry(version.pk, uuid.uuid4(), b"", grant, 0.0, None)
    for place, address in enumerate(("fe80::1%eth0", "192.0.2.1")):
        tallies = Tallies(tmp_path)
        tallies.file.count(entry, "valid", 1_800_000_000.0, (address, "", ""))
        tallies.close()
        tallies.file.path.rename(tmp_path / f"{uuid.UUID(int=place)}.uses")
    assert add_files(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"{uuid.UUID(int=0)}.aside"]


def written(folder, version, *counts):
    """A file with one record for each count."""
    content = MAGIC
    for place, count in enumerate(counts):
        name = json.dumps([str(version.pk), "valid", None, "", f"pod-{place}"]).encode()
        content += len(name).to_bytes(8, "little") + name + struct.pack("<Qdd", count, 1_800_000_000.0, 1_800_000_000.0)
    path = folder / f"{uuid.uuid4()}.uses"
    path.write_bytes(content + bytes(8))
    return path


@pytest.mark.parametrize("counts", [(2**63,), (2**64 - 1,), (2**62, 2**62, 1)])
def test_counts_that_nobody_can_have_counted_are_put_aside_at_once_and_told_of(version, tmp_path, counts):
    odd, good = written(tmp_path, version, *counts), written(tmp_path, version, 3)
    content = odd.read_bytes()
    with capture_logs() as told:
        assert [add_files(tmp_path) for _ in range(3)] == [3, 0, 0]
    assert (odd.exists(), good.exists()) == (False, False)
    assert odd.with_suffix(".aside").read_bytes() == content, "whoever looks into it finds it as it was"
    assert [(each["log_level"], each["event"], each["subject"]) for each in told] == [
        ("error", "counts put aside", f"{odd.stem}.aside")
    ], "once"
    assert not UsageBatch.objects.filter(pk=odd.stem).exists(), "repaired, it is added under its name"


def test_what_may_be_read_later_is_not_put_aside(version, tmp_path, monkeypatch):
    path, real = written(tmp_path, version, 3), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "not now")))
    assert (add_files(tmp_path), path.exists()) == (0, True)
    monkeypatch.setattr(Path, "read_bytes", real)
    assert (add_files(tmp_path), path.exists()) == (3, False)


def test_a_count_that_is_full_keeps_no_other_from_being_counted(version, tmp_path):
    """Whoever may tell of uses can tell of many: the file of the door that holds them holds those of others too."""
    most = 2**63 - 1
    add_batch(uuid.uuid4(), [tally(version, count=most)])
    other = tally(version, "other")
    add_batch(uuid.uuid4(), [tally(version, count=5), replace(other, outcome="scope")])
    assert dict(UsageCount.objects.values_list("outcome", "count")) == {"valid": most, "scope": 1}
    assert set(Sighting.objects.values_list("count", flat=True)) == {most, 1}


def test_no_file_keeps_the_others_from_the_database(version, tmp_path, monkeypatch):
    """Neither those of another owner, kind or shape, nor so many of them as are added at once."""
    monkeypatch.setattr(tally_files, "MOST_FILES", 2)
    grant = Grant(Place(uuid.uuid4(), uuid.uuid4()), "bearer", uuid.uuid4(), (), ())
    entry = Entry(version.pk, uuid.uuid4(), b"", grant, 0.0, None)
    names = [tmp_path / f"{uuid.UUID(int=place)}.uses" for place in range(7)]
    names[0].mkdir()
    names[1].symlink_to("/dev/null")
    for path, name in zip(names[2:5], (b"7       ", b"[1,2,3,4,5]     ", b'{"a": 1}'), strict=True):
        path.write_bytes(MAGIC + len(name).to_bytes(8, "little") + name + bytes(24))
    for path in names[5:]:
        tallies = Tallies(tmp_path)
        tallies.file.count(entry, "valid", 1_800_000_000.0)
        tallies.close()
        tallies.file.path.rename(path)
    assert add_files(tmp_path) == 2
    assert not [path for path in names[5:] if path.exists()]


def test_what_somebody_who_was_killed_had_not_begun_is_removed(tmp_path):
    old, young = tmp_path / "old.new", tmp_path / "young.new"
    for path in (old, young):
        path.touch()
    os.utime(old, (0, 0))
    add_files(tmp_path)
    assert list(tmp_path.iterdir()) == [young], "it may have its name in a moment"


def test_each_file_counts_its_own_however_the_same_version_is_counted_elsewhere(version, tmp_path):
    """Two threads of one process have a file each, and each is followed by another."""
    grant = Grant(Place(uuid.uuid4(), uuid.uuid4()), "bearer", uuid.uuid4(), (), ())
    entry, other = (Entry(pk, uuid.uuid4(), b"", grant, 0.0, None) for pk in (version.pk, uuid.uuid4()))
    one, two = TallyFile(tmp_path), TallyFile(tmp_path)
    pod, same_pod = ((None, "", "".join(("pod", "-1"))) for _ in range(2))
    uses = [
        *[(one, entry, "valid", NOBODY)] * 2,
        (two, other, "valid", NOBODY),
        *[(two, entry, "valid", NOBODY)] * 3,
        (one, entry, "valid", NOBODY),
        (one, entry, "valid", pod),
        (one, entry, "valid", same_pod),
        (one, entry, "scope", same_pod),
        (one, entry, "valid", pod),
        (two, entry, "scope", NOBODY),
        (one, other, "valid", NOBODY),
    ]
    for file, counted, outcome, client in uses:
        file.count(counted, outcome, 1_800_000_000.0, client)
    one.close()
    followed = TallyFile(tmp_path)
    followed.count(entry, "valid", 1_800_000_000.0)
    followed.close()
    two.close()
    for file in (one, two, followed):
        mine = Counter((use[1].version, use[2], use[3]) for use in uses if use[0] is file)
        told = {(each.version, each.outcome, seen_as(each.client)): each.count for each in read(file.path.read_bytes())}
        assert told == (mine or {(entry.version, "valid", NOBODY): 1})


@pytest.mark.usefixtures("sealing")
def test_no_key_is_kept_of_a_client_that_calls_itself_by_its_key(version, tmp_path):
    """Whole or cut off where a name is: neither on the disk, nor in the database, whichever way it comes."""
    grant = Grant(Place(uuid.uuid4(), uuid.uuid4()), "bearer", uuid.uuid4(), (), ())
    entry, tallies = Entry(version.pk, uuid.uuid4(), b"", grant, 0.0, None), Tallies(tmp_path)
    for text in (mint("prod").secret.reveal(), mint("prod").secret.reveal(), mint("prod").secret.reveal()[:60]):
        tallies.file.count(entry, "valid", 1_800_000_000.0, ("192.0.2.1", f"curl/8 key={text}", text))
        client = Client(address="192.0.2.1", user_agent=f"curl/8 key={text}", instance=text)
        add_batch(uuid.uuid4(), [replace(tally(version), client=client)])
        note_use(version.pk, outcome="valid", client=client)
    (written,) = tmp_path.glob("*.uses")
    assert b"ks_prod_" not in written.read_bytes()
    tallies.close()
    assert add_files(tmp_path) == 3
    (seen,) = Sighting.objects.all()
    assert (seen.user_agent, seen.instance, seen.count) == ("curl/8 key=[key withheld]", "[key withheld]", 9)
