"""Ranges of leaves are exported whole or not at all, and bundles are sealed before anybody gets them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit.models import AuditEvent, AuditLeaf
from keys.reports import export_jobs
from keys.reports.export_files import folder
from keys.reports.export_scopes import Leaves
from keys.tasks import make_exports
from tests.keys.reports.exporting import ROOT, asked, packed, told
from tests.people import World, issued
from tests.sealers import SealingThread

pytestmark = pytest.mark.usefixtures("export_folder")


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
