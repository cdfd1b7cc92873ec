"""The sealer tells at once what is wrong, and goes on."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail

from audit.checkpoints import backlog
from audit.events import HeartbeatRecorded
from audit.interruptions import is_interrupted, open_interruption
from audit.models import AuditEvent, AuditPending
from audit.sealer import Round
from audit.watch import Watch
from tests.audit.sealing import as_superuser, make_sealer, write_events

pytestmark = pytest.mark.usefixtures("committed_db")


def test_events_that_vanish_from_under_the_queue_or_are_queued_again_alarm_and_stop_nothing(
    tmp_path: Path, superuser: "psycopg.Connection[Any]", settings: Any
) -> None:
    settings.KEYSTEAD_ALARM_MAIL = ["security@example.org"]
    sealer = make_sealer(tmp_path)
    write_events(3)
    sealer.seal()
    superuser.execute("INSERT INTO audit_pending SELECT event_id FROM audit_leaf WHERE index = 1")
    superuser.execute("INSERT INTO audit_pending VALUES (1000000)")
    write_events(2)
    watch = Watch(sealer)
    assert watch.once() < 1
    assert sorted(code for code, _ in sealer.odd_entries()) == ["queued_again", "vanished"]
    assert sorted(each.subject.rsplit("(")[1] for each in mail.outbox) == ["queued_again)", "vanished)"]
    watch._next_odd = 0
    watch.once()
    assert len(mail.outbox) == 2
    found = AuditEvent.objects.filter(action="audit.queue-distrusted")
    assert sorted(each.envelope()["reason"] for each in found) == ["queued-again", "vanished"]
    sealer.seal()
    assert AuditPending.objects.count() == 2


def test_more_odd_entries_than_a_round_takes_hold_nothing_up(
    tmp_path: Path, superuser: "psycopg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = make_sealer(tmp_path)
    write_events(30)
    sealer.seal()
    monkeypatch.setattr("audit.sealer.BATCH", 10)
    superuser.execute("INSERT INTO audit_pending SELECT event_id FROM audit_leaf ORDER BY index DESC LIMIT 25")
    write_events(15)
    assert [sealer.seal().sealed for _ in range(3)] == [10, 5, 0]
    assert len(list(sealer.odd_entries())) == 25


def test_a_refusal_is_told_once_and_the_sealer_goes_on_looking(
    tmp_path: Path, superuser: "psycopg.Connection[Any]", settings: Any
) -> None:
    settings.KEYSTEAD_ALARM_MAIL = ["security@example.org"]
    sealer = make_sealer(tmp_path)
    write_events(3)
    watch = Watch(sealer)
    watch.once()
    watch.once()
    as_superuser(superuser, "DELETE FROM audit_leaf WHERE index = 1", "DELETE FROM audit_checkpoint")
    assert [watch.once(), watch.once()] == [5.0, 5.0]
    assert len(mail.outbox) == 1
    assert "rollback" in mail.outbox[0].subject


def test_a_heartbeat_says_where_the_log_stands(tmp_path: Path) -> None:
    sealer = make_sealer(tmp_path)
    watch = Watch(sealer)
    watch.once()
    watch.once()
    (beat,) = AuditEvent.objects.filter(action=HeartbeatRecorded.action)
    assert beat.envelope()["details"]["started"] is True  # type: ignore[index,call-overload]
    watch._next_heartbeat = 0
    watch.once()
    assert AuditEvent.objects.filter(action=HeartbeatRecorded.action).count() == 2


@pytest.mark.parametrize(("late", "told"), [(True, 1), (False, 0)])
def test_sealing_that_falls_behind_alarms_once_and_is_mailed(
    tmp_path: Path,
    superuser: "psycopg.Connection[Any]",
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    late: bool,
    told: int,
) -> None:
    settings.KEYSTEAD_ALARM_MAIL = ["security@example.org"]
    sealer = make_sealer(tmp_path)
    sealer.seal()
    watch = Watch(sealer)
    watch.once()
    mail.outbox.clear()
    # The round before took all it was given; what came meanwhile is old already.
    monkeypatch.setattr(sealer, "seal", lambda: Round(sealed=1, size=1))
    write_events(2)
    if late:
        superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
        superuser.execute("UPDATE audit_event SET recorded_at = now() - interval '61 seconds'")
    for _ in range(2):
        watch._next_lag = 0
        watch.once()
    assert [each.subject.rsplit("(")[1] for each in mail.outbox] == ["late)"] * told


def test_a_rollback_stops_verification_before_anybody_reads_the_mail(
    tmp_path: Path, superuser: "psycopg.Connection[Any]"
) -> None:
    sealer = make_sealer(tmp_path)
    write_events(3)
    watch = Watch(sealer)
    watch.once()
    assert not is_interrupted()
    assert not backlog().is_late
    as_superuser(superuser, "DELETE FROM audit_leaf WHERE index = 1", "DELETE FROM audit_checkpoint")
    for _ in range(2):
        watch.once()
    found = open_interruption()
    assert found is not None
    assert (found.cause, found.from_leaf, found.recovered_at) == ("rollback", 0, None)
    assert backlog().is_late
