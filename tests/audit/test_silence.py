"""A worker notices that nothing is being sealed, and says so once."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import mail
from django.core.cache import cache

from audit.silence import look_for_silence
from tests.audit.sealing import as_superuser, make_sealer, write_events

pytestmark = pytest.mark.usefixtures("committed_db", "valkey")
JUST_NOW = "UPDATE audit_event SET recorded_at = clock_timestamp()"  # the bootstrap's are as old as the run
AN_HOUR_AGO = "UPDATE audit_event SET recorded_at = recorded_at - interval '1 hour'"


@pytest.fixture(autouse=True)
def _told_to(settings: Any) -> None:
    settings.KEYSTEAD_ALARM_MAIL = ["security@example.org"]
    cache.clear()


def test_a_silent_sealer_is_told_of_once_in_ten_minutes(superuser: "psycopg.Connection[Any]") -> None:
    write_events(3)
    as_superuser(superuser, JUST_NOW)
    assert not look_for_silence()
    as_superuser(superuser, AN_HOUR_AGO)
    assert [look_for_silence(), look_for_silence()] == [True, False]
    assert [each.subject for each in mail.outbox] == ["Keystead: the watch of the audit log alarms (sealer_silent)"]
    assert "events wait to be sealed" in mail.outbox[0].body
    cache.clear()  # ten minutes later
    assert look_for_silence()


def test_what_is_old_and_sealed_is_no_silence(superuser: "psycopg.Connection[Any]", tmp_path: Path) -> None:
    write_events(3)
    make_sealer(tmp_path).seal()
    as_superuser(superuser, AN_HOUR_AGO)
    assert not look_for_silence()
    assert mail.outbox == []
