"""Workers may die, sleep, meet a full disk or each other: each export is made once or fails in words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from audit import clock
from audit.models import AuditExport
from keys.leases import kept
from keys.people.roles import rename_person
from keys.reports import export_jobs, export_queue, export_writing
from keys.reports.export_files import folder, new_name
from keys.reports.export_jobs import forget_exports, make_waiting
from keys.reports.export_queue import LeaseLost
from keys.tasks import make_exports
from tests.keys.reports.exporting import JOB, ROOT, asked, packed, told
from tests.people import World, acting

pytestmark = pytest.mark.usefixtures("export_folder")


def test_a_worker_killed_in_the_middle_leaves_it_to_the_next_and_it_ends_once(
    committed_db: None, world: World, superuser: psycopg.Connection[Any], settings: Any
) -> None:
    for number in range(3):
        rename_person(world.alice, actor=acting(world.alice), name=f"Alice {number}")
    export = asked(world.auditor)
    # A worker of its own that stops in the middle of the file, so that it can be killed there.
    program = (
        "import django; django.setup()\n"
        "import time\n"
        "from audit.exporters import payloads\n"
        "payloads.BATCH = 2\n"
        "from keys.reports import export_writing\n"
        "class Slow(export_writing._Progress):\n"
        "    def __call__(self, rows):\n"
        "        super().__call__(rows)\n"
        "        print('writing', flush=True); time.sleep(60)\n"
        "export_writing._Progress = Slow\n"
        "from keys.tasks import make_exports\n"
        "make_exports()\n"
    )
    environment = os.environ | {"KEYSTEAD_EXPORT_FOLDER": str(settings.KEYSTEAD_EXPORT_FOLDER)}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        while line := worker.stdout.readline():
            if line.strip() == b"writing":
                break
        export.refresh_from_db()
        assert (export.state, export.attempts) == ("running", 1)
        assert make_exports() == 0, "somebody is at it"
        worker.send_signal(signal.SIGKILL)
    assert make_exports() == 0, "its lease is not over yet"
    superuser.execute("UPDATE audit_export SET lease_until = clock_timestamp() - interval '1 second'")
    assert make_exports() == 1
    file = packed(export)
    assert file.read("log.jsonl").count(b"\n") == json.loads(file.read("manifest.json"))["rows"] == export.rows
    assert export.attempts == 2
    assert len(told("audit.log-exported")) == 1
    assert make_exports() == 0
    # What the killed one left is swept when it is old.
    left = folder() / new_name(export.uid, 1)
    assert left.exists()
    forget_exports(actor=JOB)
    assert left.exists()
    os.utime(left, (1, 1))
    assert forget_exports(actor=JOB) == 1
    assert [each.name for each in folder().iterdir()] == [export.file]


def test_a_worker_that_was_thought_dead_changes_nothing_when_it_wakes_up(
    committed_db: None, world: World, superuser: psycopg.Connection[Any]
) -> None:
    export = asked(world.auditor)
    slept = export_queue.take()
    assert slept is not None
    superuser.execute("UPDATE audit_export SET lease_until = clock_timestamp() - interval '1 second'")
    assert make_exports() == 1
    for late in (
        lambda: export_queue.still(slept, rows=1),
        lambda: export_queue.finish(slept, at=clock.now(), keep=timedelta(days=1), file="mine"),
        lambda: export_queue.give_up(slept, at=clock.now(), code="export_gave_up"),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert export_jobs._give_up(slept, code="export_gave_up", actor=JOB) == 0
    export.refresh_from_db()
    assert (export.state, export.file) == ("done", new_name(export.uid, 2))
    assert not told("audit.export-failed")


def test_a_worker_that_loses_its_lease_while_it_writes_leaves_no_file(
    committed_db: None, world: World, superuser: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    export = asked(world.auditor)
    real = export_writing.write_events

    def robbed(*args: Any, **kwargs: Any) -> Any:
        superuser.execute("UPDATE audit_export SET attempts = attempts + 1")
        return real(*args, **kwargs)

    monkeypatch.setattr(export_writing, "write_events", robbed)
    assert make_exports() == 0
    export.refresh_from_db()
    assert export.state == "running"
    assert list(folder().iterdir()) == []
    assert not told("audit.log-exported")


def test_an_export_that_nobody_can_finish_ends_at_last(
    committed_db: None, world: World, superuser: psycopg.Connection[Any]
) -> None:
    export = asked(world.auditor)
    superuser.execute("UPDATE audit_export SET attempts = %s", [export_queue.MOST_ATTEMPTS])
    assert make_exports() == 1
    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "export_gave_up")


def test_a_full_disk_fails_the_export_in_words(
    committed_db: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = asked(world.auditor)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_jobs, "write_file", full)
    assert make_exports() == 1
    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "export_no_space")
    assert list(folder().iterdir()) == []


def test_one_export_is_made_at_a_time(committed_db: None, world: World) -> None:
    asked(world.auditor), asked(world.admin)
    first = export_queue.take()
    assert first is not None
    assert export_queue.take() is None
    assert make_exports() == 0


def test_the_lease_is_kept_while_one_step_takes_long(committed_db: None, world: World) -> None:
    asked(world.auditor)
    taken = export_queue.take()
    assert taken is not None
    before = AuditExport.objects.get().lease_until
    with kept(lambda: export_queue.still(taken), every=0.05):
        deadline = time.monotonic() + 60
        while AuditExport.objects.get().lease_until == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_states_follow_the_table(committed_db: None, world: World) -> None:
    export = asked(world.auditor)
    with pytest.raises(LeaseLost):
        export_queue.expire(export)  # it waits, and is not done
    with pytest.raises(ValueError, match="does not become"):
        export_queue._move(export.uid, 0, export_queue.ExportState.WAITING, export_queue.ExportState.DONE, {})
    assert make_waiting(actor=JOB) == 1
