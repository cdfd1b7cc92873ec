"""Whoever asked for a file, or an administrator, takes that back: no file is left of it, wherever the worker stands."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditExport
from keys.errors import Conflict, Denied, Gone, NotFound
from keys.reports import export_jobs, export_writing
from keys.reports.export_files import folder
from keys.reports.exports import cancel_export, may_cancel, take_export
from keys.tasks import make_exports
from tests.keys.reports.exporting import asked, told
from tests.people import World, acting
from tests.races import in_parallel
from tests.sealers import SealingThread

pytestmark = pytest.mark.usefixtures("export_folder")


def files() -> list[str]:
    return [each.name for each in folder().iterdir()]


def test_what_waits_is_taken_back_on_record_and_no_worker_makes_it(committed_db: None, world: World) -> None:
    auditor = acting(world.auditor)  # without presence: it only takes away
    export = cancel_export(asked(world.auditor).uid, actor=auditor)
    assert (export.state, export.finished_at is not None) == ("cancelled", True)
    (event,) = told("audit.export-cancelled")
    assert (event["target"]["id"], event["actor"]["id"]) == (str(export.uid), str(world.auditor.pk))
    assert event["details"] == {"was": "waiting"}
    assert make_exports() == 0
    assert files() == []
    with pytest.raises(Conflict, match="export_ended"):
        cancel_export(export.uid, actor=auditor)
    with pytest.raises(Gone):
        take_export(export.uid, actor=acting(world.auditor, "export"))
    asked(world.auditor)
    assert make_exports() == 1, "the next one is made"


def test_a_worker_that_is_at_it_throws_away_what_it_wrote(
    committed_db: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = asked(world.auditor)
    real = export_writing.write_events

    def taken_back(*arguments: Any, **named: Any) -> Any:
        assert cancel_export(export.uid, actor=acting(world.admin)).state == "cancelled"
        return real(*arguments, **named)

    monkeypatch.setattr(export_writing, "write_events", taken_back)
    assert make_exports() == 0
    export.refresh_from_db()
    assert (export.state, export.file, files()) == ("cancelled", "", [])
    assert [each["details"] for each in told("audit.export-cancelled")] == [{"was": "running"}]
    assert not told("audit.log-exported")
    assert not told("audit.export-failed")


def test_a_bundle_that_waits_to_be_sealed_is_deleted(
    committed_db: None, world: World, sealing: SealingThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealing.settle()
    export = asked(world.auditor, form="bundle")
    monkeypatch.setattr(export_jobs, "wait_until_sealed", lambda uids, seconds: False)
    assert make_exports() == 0
    export.refresh_from_db()
    assert (export.state, files()) == ("running", [export.file])
    cancel_export(export.uid, actor=acting(world.auditor))
    assert files() == []


def test_of_a_worker_that_finishes_and_somebody_who_cancels_one_wins(committed_db: None, world: World) -> None:
    auditor = acting(world.auditor)
    rounds = [asked(world.auditor).uid]

    def act(number: int) -> object:
        return make_exports() if number else cancel_export(rounds[-1], actor=auditor)

    for _ in range(3):
        outcomes = in_parallel(2, act)
        export = AuditExport.objects.get(uid=rounds[-1])
        assert export.state in ("done", "cancelled"), outcomes
        is_done = export.state == "done"
        exported = [each for each in told("audit.log-exported") if each["details"]["export"] == str(export.uid)]
        assert (len(exported), export.file in files()) == (int(is_done), is_done), outcomes
        rounds.append(asked(world.auditor).uid)


@pytest.mark.parametrize("who", ["alice", "bob", "mallory", "responder"])
def test_for_whoever_may_not_read_the_log_there_is_nothing_to_cancel(
    committed_db: None, world: World, who: str
) -> None:
    export = asked(world.auditor)
    with pytest.raises(Denied, match="not_an_auditor") as denied:
        cancel_export(export.uid, actor=acting(getattr(world, who)))
    assert denied.value.hidden
    with pytest.raises(NotFound):
        cancel_export(world.alice.pk, actor=acting(world.auditor))


def test_who_only_reads_does_not_stop_what_somebody_else_asked_for(committed_db: None, world: World) -> None:
    own, others = asked(world.auditor), asked(world.admin)
    auditor, admin = acting(world.auditor), acting(world.admin)
    with pytest.raises(Denied, match="export_of_others") as denied:
        cancel_export(others.uid, actor=auditor)
    assert not denied.value.hidden
    assert (may_cancel(others, actor=auditor), may_cancel(own, actor=auditor)) == (False, True)
    assert cancel_export(own.uid, actor=admin).state == "cancelled"
    assert AuditExport.objects.get(uid=others.uid).state == "waiting"
