"""How far the log's readers are behind is seen by people and programs."""

from datetime import timedelta

from audit.models import AuditLeaf
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
