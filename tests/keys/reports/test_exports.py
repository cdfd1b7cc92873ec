"""Files from the log are made by workers: once, whole, under a name of their own, and for those who may read it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connections

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent, AuditExport, AuditLeaf
from keys.errors import Conflict, Denied, Gone, Invalid, NotFound
from keys.people.roles import rename_person
from keys.reports import export_jobs, export_queue, export_writing
from keys.reports.export_files import folder, new_name
from keys.reports.export_jobs import forget_exports, make_waiting
from keys.reports.export_queue import LeaseLost
from keys.reports.export_scopes import Leaves, restored, stored
from keys.reports.exports import read_export, read_exports, request_export, take_export
from keys.reports.searches import LogSearch, Subject
from keys.tasks import forget, make_exports
from tests.people import World, acting, approved, issued
from tests.sealers import SealingThread

JOB = Actor.job("make_exports")
ROOT = Path(__file__).resolve().parents[3]
ALL = LogSearch()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, settings: Any) -> None:
    settings.KEYSTEAD_EXPORT_FOLDER = tmp_path / "exports"


def asked(person: Any, wanted: Any = ALL, form: str = "jsonl", **more: Any) -> AuditExport:
    return request_export(wanted, form=form, actor=acting(person, "export"), **more)


def packed(export: AuditExport) -> zipfile.ZipFile:
    export.refresh_from_db()
    assert export.state == "done", export.error
    file = folder() / export.file
    assert (file.stat().st_size, hashlib.sha256(file.read_bytes()).digest()) == (export.size, bytes(export.sha256))
    return zipfile.ZipFile(file)


def told(action: str) -> list[dict[str, Any]]:
    return [each.envelope() for each in AuditEvent.objects.filter(action=action).order_by("id")]


@pytest.mark.parametrize(("form", "name"), [("jsonl", "log.jsonl"), ("csv", "log.csv"), ("ocsf", "log.ocsf.jsonl")])
def test_a_worker_makes_what_was_asked_for_and_the_manifest_counts_it(
    committed_db: None, world: World, form: str, name: str
) -> None:
    approved(world)
    export = asked(world.auditor, LogSearch(environment="prod"), form)
    expected = [bytes(row.payload) for row in LogSearch(environment="prod").select().oldest_first()]
    assert (export.state, export.total, export.requested_by) == ("waiting", None, f"person:{world.auditor.pk}")
    assert make_exports() == 1
    file = packed(export)
    assert sorted(file.namelist()) == [name, "manifest.json"]
    text, manifest = file.read(name), json.loads(file.read("manifest.json"))
    assert manifest["rows"] == export.rows == export.total == len(expected) > 5
    assert (manifest["size"], manifest["sha256"]) == (len(text), hashlib.sha256(text).hexdigest())
    assert manifest["searched"] == {"environment": "prod"}
    assert manifest["exported_by"] == f"person:{world.auditor.pk}"
    if form == "jsonl":
        assert text == b"".join(line + b"\n" for line in expected)
    if form == "csv":
        assert len(list(csv.DictReader(io.StringIO(text.decode(), newline="")))) == len(expected)
    if form == "ocsf":
        assert [json.loads(line)["metadata"]["uid"] for line in text.splitlines()] == [
            json.loads(line)["uid"] for line in expected
        ]
    (exported,) = told("audit.log-exported")
    assert exported["details"] == {
        "form": form, "searched": {"environment": "prod"}, "rows": len(expected), "size": len(text),
        "sha256": manifest["sha256"], "export": str(export.uid), "file_sha256": bytes(export.sha256).hex(),
        "with_private": False,
    }  # fmt: skip
    assert exported["on_behalf_of"] == {"type": "person", "id": str(world.auditor.pk)}
    assert make_exports() == 0


def test_the_file_is_for_its_owner_only_and_expires(
    committed_db: None, world: World, superuser: psycopg.Connection[Any]
) -> None:
    export = asked(world.auditor)
    make_exports()
    export.refresh_from_db()
    path = folder() / export.file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder().stat().st_mode) == 0o700
    assert export.expires_at - export.finished_at == timedelta(days=7)
    forget()
    assert path.exists()
    superuser.execute("UPDATE audit_export SET expires_at = clock_timestamp() - interval '1 second'")
    with pytest.raises(Gone, match="export_gone"):
        take_export(export.uid, actor=acting(world.auditor, "export"))
    assert forget() == 1
    assert not path.exists()
    assert read_export(export.uid, actor=acting(world.auditor)).state == "expired"
    (expired,) = told("audit.export-expired")
    assert expired["target"]["id"] == str(export.uid)


def test_each_request_and_each_download_is_on_record(committed_db: None, world: World) -> None:
    export = asked(world.auditor, LogSearch(outcome="denied"), with_private=True)
    make_exports()
    (wish,) = told("audit.export-requested")
    assert wish["details"] == {"form": "jsonl", "searched": {"outcome": "denied"}, "with_private": True}
    assert wish["actor"]["id"] == str(world.auditor.pk)
    for person in (world.auditor, world.admin):
        download = take_export(export.uid, actor=acting(person, "export"))
        assert download.path.read_bytes()
        assert download.name.startswith("keystead-jsonl-")
    assert [each["actor"]["id"] for each in told("audit.export-downloaded")] == [
        str(world.auditor.pk), str(world.admin.pk)
    ]  # fmt: skip


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_for_everybody_else_there_are_no_exports(committed_db: None, world: World, who: str) -> None:
    export = asked(world.auditor)
    make_exports()
    actor = acting(getattr(world, who), "export")
    acts = (
        lambda: request_export(ALL, form="csv", actor=actor),
        lambda: read_exports(actor=actor),
        lambda: read_export(export.uid, actor=actor),
        lambda: take_export(export.uid, actor=actor),
    )
    for act in acts:
        with pytest.raises(Denied, match="not_an_auditor") as denied:
            act()
        assert denied.value.hidden
    assert len(told("access.denied")) == len(acts)
    assert AuditExport.objects.count() == 1


def test_without_presence_nothing_is_asked_for_and_nothing_taken(committed_db: None, world: World) -> None:
    with pytest.raises(Denied, match="step_up_required"):
        request_export(ALL, form="csv", actor=acting(world.auditor))
    export = asked(world.auditor)
    make_exports()
    with pytest.raises(Denied, match="step_up_required"):
        take_export(export.uid, actor=acting(world.auditor, "revoke"))
    assert not told("audit.export-downloaded")


def test_whoever_lost_the_right_meanwhile_gets_nothing(
    committed_db: None, world: World, superuser: psycopg.Connection[Any]
) -> None:
    export = asked(world.auditor)
    superuser.execute("ALTER TABLE keys_person DISABLE TRIGGER USER")
    superuser.execute("UPDATE keys_person SET roles = '{}' WHERE id = %s", [world.auditor.pk])
    assert make_exports() == 1
    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "not_an_auditor")
    (failed,) = told("audit.export-failed")
    assert (failed["reason"], failed["outcome"]) == ("not-an-auditor", "failure")
    assert list(folder().iterdir()) == []


def test_private_parts_are_in_it_only_when_they_were_asked_for(committed_db: None, world: World) -> None:
    rename_person(world.alice, actor=acting(world.alice), name="Alice Amsel")
    without, with_them = asked(world.auditor), asked(world.auditor, with_private=True)
    make_exports(), make_exports()
    assert "private.jsonl" not in packed(without).namelist()
    assert b"Alice Amsel" not in b"".join(map(packed(without).read, packed(without).namelist()))
    file = packed(with_them)
    text, manifest = file.read("private.jsonl"), json.loads(file.read("manifest.json"))
    assert b"Alice Amsel" in text
    assert manifest["private"] == {
        "rows": text.count(b"\n"), "size": len(text), "sha256": hashlib.sha256(text).hexdigest()
    }  # fmt: skip
    assert [each["details"]["with_private"] for each in told("audit.log-exported")] == [False, True]


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


def test_nobody_fills_the_queue_alone(committed_db: None, world: World) -> None:
    for _ in range(3):
        asked(world.auditor)
    with pytest.raises(Conflict, match="too_many_exports"):
        asked(world.auditor)
    asked(world.admin)


def test_what_cannot_be_is_refused(committed_db: None, world: World, sealing: SealingThread) -> None:
    sealing.settle()
    for wanted, form in [
        (ALL, "xml"),
        (Leaves(from_leaf=0, upto_leaf=10**6), "jsonl"),
        (Leaves(from_leaf=5, upto_leaf=5), "jsonl"),
        (Leaves(from_leaf=-1, upto_leaf=5), "jsonl"),
    ]:
        with pytest.raises(Invalid):
            asked(world.auditor, wanted, form)
    assert not AuditExport.objects.exists()


def test_a_download_of_what_is_not_there_is_refused(committed_db: None, world: World) -> None:
    export = asked(world.auditor)
    me = acting(world.auditor, "export")
    with pytest.raises(Conflict, match="export_not_ready"):
        take_export(export.uid, actor=me)
    with pytest.raises(NotFound):
        take_export(UUID(int=7), actor=me)
    make_exports()
    export.refresh_from_db()
    with (folder() / export.file).open("ab") as file:
        file.write(b"more")
    with pytest.raises(Gone):
        take_export(export.uid, actor=me)
    (folder() / export.file).unlink()
    with pytest.raises(Gone):
        take_export(export.uid, actor=me)
    assert not told("audit.export-downloaded")


def test_a_range_holds_every_leaf_in_order(committed_db: None, world: World, sealing: SealingThread) -> None:
    sealing.settle()
    export = asked(world.auditor, Leaves(from_leaf=2, upto_leaf=9))
    assert export.searched == {"leaves": "2-9"}
    make_exports()
    ids = AuditLeaf.objects.filter(index__gte=2, index__lt=9).order_by("index").values_list("event_id", flat=True)
    rows = AuditEvent.objects.in_bulk(list(ids))
    assert packed(export).read("log.jsonl").splitlines() == [bytes(rows[pk].payload) for pk in ids]


def test_a_range_with_a_hole_is_not_handed_out_as_whole(
    committed_db: None, world: World, sealing: SealingThread, superuser: psycopg.Connection[Any]
) -> None:
    sealing.settle()
    export = asked(world.auditor, Leaves(from_leaf=0, upto_leaf=9))
    superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
    superuser.execute("DELETE FROM audit_event WHERE id = (SELECT event_id FROM audit_leaf WHERE index = 4)")
    make_exports()
    export.refresh_from_db()
    assert (export.state, export.error) == ("failed", "export_not_whole")


def test_a_bundle_is_made_sealed_and_verifies_without_us(
    committed_db: None, world: World, sealing: SealingThread, settings: Any, tmp_path: Path
) -> None:
    settings.KEYSTEAD_SEALER_FOLDER = sealing.sealer.folder.path
    issued(world)
    sealing.settle()
    size = AuditLeaf.objects.count()
    export = asked(world.auditor, Leaves(from_leaf=0, upto_leaf=size), "bundle", with_ocsf=True)
    assert make_exports() == 1
    file = packed(export)
    assert {"summary.pdf", "summary.html", "log.ocsf.jsonl", "export.tlog-proof", "verify.py"} <= set(file.namelist())
    assert export.rows == export.total == size
    (exported,) = told("audit.log-exported")
    assert exported["details"]["sha256"] == hashlib.sha256(file.read("manifest.json")).hexdigest()
    assert exported["details"]["export"] == str(export.uid)
    assert [each.name for each in folder().iterdir()] == [export.file]
    assert file.read("summary.pdf").startswith(b"%PDF-")
    key = tmp_path / "log.vkey"
    key.write_text(f"{sealing.sealer.signer.verifier.text()}\n")
    verified = subprocess.run(
        [sys.executable, "-I", ROOT / "audit" / "verify.py", "bundle", folder() / export.file, "--key", key],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_bundle_waits_for_the_sealer_and_holds_up_nobody(
    committed_db: None, world: World, sealing: SealingThread, monkeypatch: pytest.MonkeyPatch, superuser: Any
) -> None:
    sealing.settle()
    monkeypatch.setattr(export_jobs, "SEALED_WITHIN", 0.05)
    bundle, lines = asked(world.auditor, form="bundle"), asked(world.admin)
    sealing.settle()
    sealing.stop()
    assert make_exports() == 0
    bundle.refresh_from_db()
    assert bundle.state == "running"
    assert bundle.event_uid is not None
    assert make_exports() == 1, "the next in line does not wait for the sealer"
    lines.refresh_from_db()
    assert lines.state == "done"
    superuser.execute("UPDATE audit_export SET lease_until = clock_timestamp() WHERE state = 'running'")
    assert make_exports() == 0
    sealing.start()
    sealing.settle()
    superuser.execute("UPDATE audit_export SET lease_until = clock_timestamp() WHERE state = 'running'")
    assert make_exports() == 1
    assert "export.tlog-proof" in packed(bundle).namelist()
    assert len([each for each in told("audit.log-exported") if each["details"]["form"] == "bundle"]) == 1


def test_a_worker_killed_while_it_signs_a_bundle_does_not_spoil_it(
    committed_db: None, world: World, sealing: SealingThread, monkeypatch: pytest.MonkeyPatch, superuser: Any
) -> None:
    sealing.settle()
    bundle = asked(world.auditor, form="bundle")
    sealing.settle()

    class Killed(BaseException):
        pass

    def killed(*args: Any, **kwargs: Any) -> None:
        kwargs["into"].seek(0, os.SEEK_END)
        kwargs["into"].write(b"half a member")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("audit.exporters.bundle.finish_bundle", killed)
        with pytest.raises(Killed):
            make_exports()
    superuser.execute("UPDATE audit_export SET lease_until = clock_timestamp() WHERE state = 'running'")
    assert make_exports() == 1
    assert packed(bundle).testzip() is None
    assert len(told("audit.log-exported")) == 1


def test_the_history_pages_by_age_and_shows_everybodys(committed_db: None, world: World) -> None:
    first, second, third = asked(world.auditor), asked(world.admin), asked(world.auditor)
    me = acting(world.auditor)
    assert [each.uid for each in read_exports(actor=me)] == [third.uid, second.uid, first.uid]
    assert [each.uid for each in read_exports(actor=me, before=third.uid, size=1)] == [second.uid, first.uid]


def test_a_scope_is_read_as_it_was_kept() -> None:
    at = clock.now() if connections["default"].connection else None
    search = LogSearch(start=at, actor=Subject("person", "7"), actions=("key.revoked",), outcome="denied")
    assert restored(stored(search)) == search
    assert restored(json.loads(json.dumps(stored(Leaves(from_leaf=1, upto_leaf=4))))) == Leaves(
        from_leaf=1, upto_leaf=4
    )


def test_the_lease_is_kept_while_one_step_takes_long(
    committed_db: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(world.auditor)
    taken = export_queue.take()
    assert taken is not None
    monkeypatch.setattr(export_jobs, "ALIVE_SECONDS", 0.05)
    before = AuditExport.objects.get().lease_until
    with export_jobs._alive(taken):
        deadline = time.monotonic() + 10
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
