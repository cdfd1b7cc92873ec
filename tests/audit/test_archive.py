"""Whole subtrees go to write-once storage, leave the database by the period, and everything that is left still proves itself."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from audit import clock, log, verify
from audit.actor import Actor
from audit.archive import NotTheLog, archived_names, archived_payloads, verify_archive
from audit.archives.base import ArchiveConflict, ArchiveMissing
from audit.archives.folder import FolderStore
from audit.checkpoints import consistency_proof, proof_of_event
from audit.envelope import enclose
from audit.events import LogRead
from audit.inspection import inspect_log
from audit.keeping_rules import PRUNE_STEP
from audit.merkle import verify_consistency
from audit.models import AuditArchive, AuditCheckpoint, AuditEvent, AuditLeaf, AuditNode, AuditPrivate
from audit.notes import open_checkpoint
from audit.pins import Pins
from audit.retention import Periods, outlook
from audit.sealer import Sealer
from tests.audit.sealing import make_sealer

# Payloads and private parts that fit each other, made where they are stored: 65,536 in seconds.
MANY = """
WITH made AS (
    SELECT n, uuidv7() uid, sha256(int4send(n)) salt, convert_to('{"n":' || n || '}', 'UTF8') body FROM generate_series(1, %s) n
), event AS (
    INSERT INTO audit_event (payload)
    SELECT convert_to(replace(replace(%s, '@uid', uid::text), '@commitment', encode(sha256(salt || body), 'hex')), 'UTF8')
    FROM made ORDER BY n RETURNING id, uid
)
INSERT INTO audit_private (event_id, salt, body) SELECT event.id, salt, body FROM event JOIN made USING (uid)
"""


def _template() -> str:
    sealed = enclose(LogRead(target_id="log"), actor=Actor.job("filler"), at=clock.now() - timedelta(days=400))
    envelope = json.loads(sealed.payload)
    envelope["uid"], envelope["private"]["commitment"] = "@uid", "@commitment"
    return json.dumps(envelope, separators=(",", ":"), sort_keys=True)


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path, settings: Any) -> Sealer:
    made = make_sealer(tmp_path / "sealer")
    settings.KEYSTEAD_SEALER_FOLDER = made.folder.path
    settings.KEYSTEAD_ARCHIVE_OPTIONS = {"folder": str(tmp_path / "archive")}
    return made


def _seal(sealer: Sealer) -> int:
    while (done := sealer.seal()).is_full:
        pass
    return done.size


def _keep(superuser: "psycopg.Connection[Any]", days: int) -> None:
    superuser.execute("ALTER TABLE audit_retention DISABLE TRIGGER ALL")
    superuser.execute(
        "INSERT INTO audit_retention (keep_days, reason, proposed_at, proposed_by, decided_at, decided_by, outcome)"
        " VALUES (%s, 'law', now(), 'person:a', now(), 'person:b', 'accepted')",
        (days,),
    )
    for trigger in ("audit_retention_rules", "audit_guard_rows", "audit_guard_columns"):
        superuser.execute(f"ALTER TABLE audit_retention ENABLE ALWAYS TRIGGER {trigger}")


def _hold(superuser: "psycopg.Connection[Any]", *, lift: bool) -> None:
    superuser.execute("ALTER TABLE audit_hold DISABLE TRIGGER ALL")
    superuser.execute(
        "UPDATE audit_hold SET lifted_at = now(), lifted_by = 'person:b'"
        if lift
        else "INSERT INTO audit_hold (from_leaf, upto_leaf, reason, placed_at, placed_by, lifted_by)"
        " VALUES (7, 8, 'court', now(), 'person:a', '')"
    )


def _mutated(folder: Path, into: Path, name: str, place: int) -> FolderStore:
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(folder, into)
    (into / name).chmod(0o600)
    text = bytearray((into / name).read_bytes())
    text[place] ^= 1
    (into / name).write_bytes(text)
    return FolderStore(into)


@pytest.mark.timeout(280)
def test_a_range_is_archived_pruned_and_still_proved(
    sealer: Sealer, superuser: "psycopg.Connection[Any]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verifiers, folder = [sealer.signer.verifier], tmp_path / "archive"
    # Where the tables were just found empty, each row's check of its event would read all of them.
    superuser.execute("SET enable_seqscan = off")
    superuser.execute(MANY, (PRUNE_STEP, _template()))
    superuser.execute("RESET enable_seqscan")
    superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
    superuser.execute("UPDATE audit_event SET recorded_at = now() - interval '400 days'")
    superuser.execute("ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_append_only")
    size = _seal(sealer)
    assert size > PRUNE_STEP
    early = AuditCheckpoint.objects.order_by("size").first()
    assert early is not None
    last = AuditEvent.objects.get(id=AuditLeaf.objects.get(index=size - 1).event_id)

    # Without a period, and without an archive, nothing goes.
    call_command("prune_audit_log")
    assert "Everything is kept" in capsys.readouterr().out
    _keep(superuser, 365)
    call_command("prune_audit_log")
    assert AuditEvent.objects.count() == size

    # Archive: written once, read back, on record.
    call_command("archive_audit_log")
    (row,) = AuditArchive.objects.all()
    assert (row.from_leaf, row.upto_leaf, row.verified_at is not None) == (0, PRUNE_STEP, True)
    told = AuditEvent.objects.with_action("audit.log-archived").get().envelope()["details"]
    assert isinstance(told, dict)
    assert (told["sha256"], told["upto_leaf"]) == (bytes(row.sha256).hex(), PRUNE_STEP)
    (name,) = archived_names(FolderStore(folder))
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o444}
    call_command("archive_audit_log")
    assert AuditArchive.objects.count() == 1
    call_command("archive_audit_log", "--check")
    assert name in capsys.readouterr().out
    # Nothing personal is in it.
    assert b'{"n":7}' not in (folder / f"{name}.entries").read_bytes()

    # A changed byte of either file is found, and so is another key.
    for file, places in ((f"{name}.entries", (1, 4_000_000)), (f"{name}.json", (40, 300, -40))):
        for place in places:
            with pytest.raises(NotTheLog):
                verify_archive(_mutated(folder, tmp_path / "mutated", file, place), name, verifiers)
    with pytest.raises(NotTheLog):
        verify_archive(FolderStore(folder), name, [make_sealer(tmp_path / "other").signer.verifier])

    # A hold stops it; lifted, the range goes, and nothing else.
    _hold(superuser, lift=False)
    call_command("prune_audit_log")
    assert "HOLD-" in capsys.readouterr().out
    assert AuditEvent.objects.count() > size
    _hold(superuser, lift=True)
    call_command("prune_audit_log", "--dry-run")
    assert AuditLeaf.objects.order_by("index").first().index == 0  # type: ignore[union-attr]
    nodes, began = AuditNode.objects.count(), time.monotonic()
    call_command("prune_audit_log")
    assert time.monotonic() - began < 120
    assert AuditLeaf.objects.order_by("index").first().index == PRUNE_STEP  # type: ignore[union-attr]
    assert AuditEvent.objects.count() < 500
    assert AuditPrivate.objects.count() < 500
    assert AuditNode.objects.count() >= nodes
    pruned = AuditEvent.objects.with_action("audit.log-pruned").get().envelope()
    assert pruned["details"] == {"from_leaf": 0, "upto": PRUNE_STEP}

    # The sealer goes on, the log holds, the rest is proved, growth from the first checkpoint too.
    size = _seal(sealer)
    found = inspect_log(Pins(verifiers=verifiers, tiles=sealer.folder.tiles, tiles_head=_head(sealer, verifiers)))
    assert (found.findings, found.first_leaf, found.size) == ([], PRUNE_STEP, size)
    entry = bytes(last.payload)
    key = verify.read_key(sealer.signer.verifier.text())
    head, _ = verify.verify_proof(proof_of_event(last.uid).text(), entry, [key], [])
    assert head.size == size
    newest = AuditCheckpoint.objects.order_by("-size").first()
    assert newest is not None
    verify_consistency(early.size, size, bytes(early.root), bytes(newest.root), consistency_proof(early.size, size))
    # Tiles are the copy outside of the database; they stay, and verify alone.
    tiles = subprocess.run(
        [sys.executable, "-I", verify.__file__, "tiles", str(sealer.folder.path / "tiles"), "--key", sealer.signer.verifier.text()],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert tiles.returncode == 0, tiles.stdout

    # Pruned once, nothing is left to prune.
    call_command("prune_audit_log")
    assert AuditEvent.objects.with_action("audit.log-pruned").count() == 1
    assert outlook(Periods(keep_days=365), at=clock.now()).upto == PRUNE_STEP

    # What this test wrote past the log is found, also with most of the log in the archive.
    with pytest.raises(SystemExit):
        call_command("replay_audit_log")
    assert "audit_hold 1: in the table, but in no event" in capsys.readouterr().out
    for table in ("audit_hold", "audit_retention"):
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        superuser.execute(f"DELETE FROM {table}")
    # The replay begins with the archive; without one it says so instead of guessing.
    call_command("replay_audit_log")
    said = capsys.readouterr().out
    assert f"and {PRUNE_STEP} before them from the archive" in said
    assert "The tables are the sum of their events." in said
    with pytest.raises(CommandError) as refused:
        call_command("replay_audit_log", "--archive", str(tmp_path / "nowhere"))
    assert refused.value.returncode == 2
    changed = _mutated(folder, tmp_path / "mutated", f"{name}.entries", 999).folder
    with pytest.raises(CommandError) as refused:
        call_command("replay_audit_log", "--archive", str(changed))
    assert refused.value.returncode == 1
    assert len(list(archived_payloads(FolderStore(folder), verifiers, PRUNE_STEP))) == PRUNE_STEP


def _head(sealer: Sealer, verifiers: Any) -> Any:
    return open_checkpoint((sealer.folder.path / "tiles" / "checkpoint").read_text(), verifiers)


def test_nothing_whole_is_nothing_archived(sealer: Sealer, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction.atomic():
        log.record(LogRead(target_id="log"), actor=Actor.job("x"), at=clock.now())
    with pytest.raises(CommandError, match="nothing is sealed"):
        call_command("archive_audit_log")
    _seal(sealer)
    call_command("archive_audit_log")
    assert AuditArchive.objects.count() == 0


class TestFolderStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "archive")

    def test_what_was_put_is_never_replaced(self, store: FolderStore) -> None:
        location = store.put("a", BytesIO(b"one"))
        assert Path(location).read_bytes() == b"one"
        store.put("a", BytesIO(b"one"))
        for other in (b"two", b"longer"):
            with pytest.raises(ArchiveConflict):
                store.put("a", BytesIO(other))
        assert Path(location).read_bytes() == b"one"
        assert store.names() == ["a"]

    def test_what_is_not_there_is_missing(self, store: FolderStore) -> None:
        assert store.names() == []
        with pytest.raises(ArchiveMissing):
            store.open("a")
