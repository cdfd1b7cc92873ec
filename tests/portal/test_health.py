"""Alive, ready, and how the parts are; each part's failure is seen where it belongs."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import transaction
from django.test import Client

from audit import clock, log
from audit.actor import Actor
from audit.events import LogRead
from keys.models import Verifier
from keys.monitoring import tally_files
from portal import health, pulses

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, valkey):
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(health, "_mail", None)
    pulses.valkey.cache_clear()


def _parts(path="/status"):
    answer = Client().get(path, headers={"Accept": "application/json"})
    return answer, answer.json()


def test_alive_asks_nothing_of_anybody(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert Client().get("/healthz").json() == {"status": "alive"}


def test_ready_when_the_database_answers_is_migrated_and_agrees_about_the_time():
    answer, body = _parts("/readyz")
    assert answer.status_code == 200
    assert body == {
        "status": "ok",
        "parts": {
            "database": {"ok": True, "reason": ""},
            "migrations": {"ok": True, "reason": ""},
            "restore": {"ok": True, "reason": ""},
        },
    }


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_differs_from_the_database_by_more_than_two_seconds_is_not_ready(hours):
    with time_machine.travel(datetime.now(tz=UTC) + timedelta(hours=hours)):
        answer, body = _parts("/readyz")
    assert answer.status_code == 503
    assert body["parts"]["database"] == {"ok": False, "reason": "clock_skew"}


def test_a_missing_migration_is_not_ready(monkeypatch):
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_args: ["one is missing"])
    answer, body = _parts("/readyz")
    assert answer.status_code == 503
    assert body["parts"]["migrations"]["reason"] == "pending"


def test_worker_and_scheduler_are_known_by_their_pulse():
    assert _parts()[1]["parts"]["worker"] == {"ok": False, "reason": "never_seen"}
    pulses.beat(pulses.WORKER)
    pulses.beat(pulses.BEAT)
    parts = _parts()[1]["parts"]
    assert parts["worker"]["ok"]
    assert parts["beat"]["ok"]
    with time_machine.travel(datetime.now(tz=UTC) + timedelta(seconds=pulses.LATE_SECONDS + 5), tick=False):
        assert health.pulse_part(pulses.WORKER, "Worker").reason == "late"


def test_a_valkey_that_evicts_or_is_gone_is_shown_and_the_page_still_answers(valkey, settings):
    valkey.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert _parts()[1]["parts"]["valkey"] == {"ok": False, "reason": "evicts"}
    finally:
        valkey.config_set("maxmemory-policy", "noeviction")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    pulses.valkey.cache_clear()
    answer, body = _parts()
    assert answer.status_code == 200
    assert body["status"] == "degraded"
    assert body["parts"]["valkey"]["reason"] == "unreachable"
    pulses.valkey.cache_clear()


def test_a_mail_server_that_is_gone_is_shown_and_not_asked_again_at_once(settings, monkeypatch):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert _parts()[1]["parts"]["mail"] == {"ok": False, "reason": "unreachable"}
    monkeypatch.setattr(health, "get_connection", lambda **_options: pytest.fail("asked again"))
    assert _parts()[1]["parts"]["mail"]["ok"] is False


def test_events_that_wait_too_long_to_be_sealed_are_shown(monkeypatch):
    with transaction.atomic():
        log.record(LogRead(target_id="log"), actor=Actor.system("test"), at=clock.now())
    assert health.log_part().detail != "0"
    monkeypatch.setattr("audit.checkpoints.LATE", timedelta(hours=1))
    assert health.log_part().ok
    monkeypatch.setattr("audit.checkpoints.LATE", timedelta())
    part = health.log_part()
    assert (part.ok, part.reason) == (False, "unsealed")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/status", "/metrics"])
def test_only_reading_is_possible(path):
    assert Client().post(path).status_code == 405


def test_a_door_that_verified_and_holds_no_lease_is_missed():
    assert "verifiers" not in _parts()[1]["parts"], "where none ever ran, none is missed"
    now = clock.now()
    Verifier.objects.create(name="door", started_at=now, renewed_at=now, valid_until=now + timedelta(seconds=30))
    assert _parts()[1]["parts"]["verifiers"] == {"ok": True, "reason": ""}
    Verifier.objects.update(valid_until=clock.now() - timedelta(seconds=1))
    assert _parts()[1]["parts"]["verifiers"] == {"ok": False, "reason": "silent"}
    assert _parts()[1]["status"] == "degraded"
    Verifier.objects.update(valid_until=clock.now() - timedelta(days=2))
    assert "verifiers" not in _parts()[1]["parts"]


def test_counts_that_were_put_aside_are_red_until_somebody_looked_into_them(settings, tmp_path):
    settings.KEYSTEAD_USAGE_FOLDER = tmp_path / "usage"
    assert "usage" not in _parts()[1]["parts"], "here is no such folder: the doors count on another machine"
    settings.KEYSTEAD_USAGE_FOLDER.mkdir()
    assert _parts()[1]["parts"]["usage"] == {"ok": True, "reason": ""}
    damaged = settings.KEYSTEAD_USAGE_FOLDER / "no-batch.uses"
    damaged.write_bytes(b"what no verifier has written")
    tally_files.add_files(settings.KEYSTEAD_USAGE_FOLDER)
    body = _parts()[1]
    assert body["parts"]["usage"] == {"ok": False, "reason": "put_aside"}
    assert body["status"] == "degraded"
    damaged.with_suffix(".aside").unlink()
    assert _parts()[1]["parts"]["usage"]["ok"]
