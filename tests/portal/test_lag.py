"""How far the log's readers are behind is seen by people and programs."""

from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditLeaf
from keys.models import FailedReaction, Notice
from keys.tasks import react
from portal import health


def test_a_reader_that_is_behind_is_shown_on_status_and_in_metrics(client, world, sealing, monkeypatch):
    sealing.settle()
    assert health.dispatch_part().detail != "0"
    monkeypatch.setattr("portal.health.LATE", timedelta())
    part = health.dispatch_part()
    assert (part.ok, part.reason) == (False, "late")
    gauges = dict(line.split() for line in client.get("/metrics").content.decode().splitlines() if "log_" in line[:14])
    assert float(gauges["keystead_log_unread_events"]) == AuditLeaf.objects.count()
    assert (gauges["keystead_log_unsealed_events"], gauges["keystead_log_granting_paused"]) == ("0.0", "0.0")
    react()
    assert health.dispatch_part().ok
    assert b"keystead_log_unread_events 0.0" in client.get("/metrics").content


@pytest.mark.django_db
def test_what_nobody_could_be_told_of_is_shown():
    at = clock.now()
    row = FailedReaction.objects.create(
        reader="notices", leaf=7, failures=2, first_at=at, next_attempt_at=at, error="E"
    )
    assert health.dispatch_part().ok, "a hiccup"
    FailedReaction.objects.filter(pk=row.pk).update(failures=3)
    part = health.dispatch_part()
    assert (part.ok, part.reason, part.detail) == (False, "failing", "1")


def test_mails_that_were_refused_for_good_are_shown(world, monkeypatch):
    monkeypatch.setattr("portal.health._mail", None)
    assert health.mail_part().ok
    Notice.objects.create(
        event_uid="8f9d5f0e-7d0c-4b77-9f8e-0d0f3a5a1f00", person=world.alice, kind="key.renewed", subject_type="key",
        subject_id="-", created_at=clock.now(), attempts=8,
    )  # fmt: skip
    monkeypatch.setattr("portal.health._mail", None)
    part = health.mail_part()
    assert (part.ok, part.reason, part.detail) == (False, "given_up", "1")
    Notice.objects.update(created_at=clock.now() - timedelta(days=8))
    monkeypatch.setattr("portal.health._mail", None)
    assert health.mail_part().ok
