"""Files from the log are made by workers: once, whole, under a name of their own, and for those who may read it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import stat
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from audit.models import AuditExport
from keys.errors import Conflict, Denied, Gone, Invalid, NotFound
from keys.people.roles import rename_person
from keys.reports.export_files import folder
from keys.reports.export_scopes import Leaves, restored, stored
from keys.reports.exports import read_export, read_exports, request_export, take_export
from keys.reports.searches import LogSearch, Subject
from keys.tasks import forget, make_exports
from tests.keys.reports.exporting import ALL, asked, packed, told
from tests.people import World, acting, approved
from tests.sealers import SealingThread

pytestmark = pytest.mark.usefixtures("export_folder")


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


def test_the_history_pages_by_age_and_shows_everybodys(committed_db: None, world: World) -> None:
    first, second, third = asked(world.auditor), asked(world.admin), asked(world.auditor)
    me = acting(world.auditor)
    assert [each.uid for each in read_exports(actor=me)] == [third.uid, second.uid, first.uid]
    assert [each.uid for each in read_exports(actor=me, before=third.uid, size=1)] == [second.uid, first.uid]


def test_a_scope_is_read_as_it_was_kept() -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    search = LogSearch(start=at, actor=Subject("person", "7"), actions=("key.revoked",), outcome="denied")
    assert restored(stored(search)) == search
    assert restored(json.loads(json.dumps(stored(Leaves(from_leaf=1, upto_leaf=4))))) == Leaves(
        from_leaf=1, upto_leaf=4
    )
