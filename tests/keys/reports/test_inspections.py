"""The whole log is looked at every night and on demand, by one worker at a time; a finding alarms at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent, AuditInspection
from audit.sealer import Sealer
from keys.errors import Denied
from keys.reports import inspections
from keys.reports.inspections import ask_inspection, ask_nightly, inspect_waiting, read_inspections
from keys.tasks import inspect_log
from tests.audit.sealing import make_sealer
from tests.people import World, acting

JOB = Actor.job("inspect_log")


@pytest.fixture
def sealer(committed_db: None, tmp_path: Path, settings: Any) -> Sealer:
    made = make_sealer(tmp_path / "sealer")
    settings.KEYSTEAD_SEALER_FOLDER = made.folder.path
    made.seal()
    return made


def test_an_auditor_asks_and_a_worker_finds_that_the_log_holds(sealer: Sealer, world: World) -> None:
    asked = ask_inspection(actor=acting(world.auditor))
    while sealer.seal().is_full:
        pass
    assert inspect_log() == 1
    (found,) = read_inspections(actor=acting(world.auditor))
    assert (found.uid, found.state, found.findings) == (asked.uid, "held", [])
    assert found.checked == found.total > 0
    assert found.asked_by == f"person:{world.auditor.pk}"
    told = AuditEvent.objects.filter(action__startswith="audit.").exclude(action="audit.log-read").order_by("id")
    assert [each.action for each in told] == ["audit.inspection-asked", "audit.log-held"]
    assert told[1].envelope()["details"]["root"] == found.root  # type: ignore[index,call-overload]


def test_strangers_neither_ask_nor_read(sealer: Sealer, world: World) -> None:
    for person in (world.mallory, world.bob):
        for act in (ask_inspection, read_inspections):
            with pytest.raises(Denied) as denied:
                act(actor=acting(person))
            assert denied.value.hidden
    assert not AuditInspection.objects.exists()


def test_who_asks_while_one_is_open_waits_for_that_one(sealer: Sealer, world: World) -> None:
    first = ask_inspection(actor=acting(world.auditor))
    assert ask_inspection(actor=acting(world.admin)).uid == first.uid
    assert AuditInspection.objects.count() == 1


def test_an_edit_by_the_superuser_is_found_recorded_and_mailed_at_once(
    sealer: Sealer, world: World, superuser: psycopg.Connection[Any], settings: Any
) -> None:
    settings.KEYSTEAD_ALARM_MAIL = ["security@example.org"]
    while sealer.seal().is_full:
        pass
    superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
    superuser.execute(
        "UPDATE audit_event SET action = 'key.created' WHERE id = (SELECT event_id FROM audit_leaf WHERE index = 3)"
    )
    ask_inspection(actor=acting(world.auditor))
    assert inspect_waiting(actor=JOB) == 1
    (found,) = read_inspections(actor=acting(world.auditor))
    assert (found.state, found.first_bad_index) == ("broken", 3)
    told = AuditEvent.objects.get(action="audit.log-distrusted").envelope()
    assert told["details"] == {"findings": ["column"], "first_bad_index": 3, "size": found.checked}
    assert "column at leaf 3" in mail.outbox[0].body


def test_an_inspection_is_asked_for_once_a_day(sealer: Sealer, world: World) -> None:
    assert ask_nightly()
    assert not ask_nightly()
    inspect_waiting(actor=JOB)
    assert not ask_nightly()
    AuditInspection.objects.update(asked_at=clock.now() - timedelta(hours=24, seconds=1))
    assert ask_nightly()


def test_what_a_dead_worker_left_is_taken_over_and_what_a_living_one_holds_is_not(sealer: Sealer, world: World) -> None:
    ask_inspection(actor=acting(world.auditor))
    held = inspections._take()
    assert held is not None
    assert inspect_waiting(actor=JOB) == 0
    AuditInspection.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    assert inspect_waiting(actor=JOB) == 1
    with pytest.raises(inspections.LeaseLost):
        inspections._Progress(held)(1)  # the first one wakes up, and learns that it is too late
    assert AuditInspection.objects.get().state != "running"


def test_without_a_public_key_the_inspection_fails_and_says_what_to_set(
    committed_db: None, world: World, tmp_path: Path, settings: Any
) -> None:
    settings.KEYSTEAD_SEALER_FOLDER = tmp_path
    ask_inspection(actor=acting(world.auditor))
    assert inspect_waiting(actor=JOB) == 1
    found = AuditInspection.objects.get()
    assert found.state == "failed"
    assert "KEYSTEAD_LOG_KEYS" in found.findings[0]
