"""What an operator sees of exports and forwarding: refusals of what cannot be, and a line on the health page."""

import pytest

from audit.forwarding import sealed
from audit.models import AuditCheckpoint, AuditForward
from portal import checks, health
from tests.portal.doorway import signed_in

PLUG = "audit.forwarding.syslog.Syslog"


def codes(found):
    return [each.id for each in found]


def test_a_folder_that_others_read_is_refused(settings, tmp_path):
    settings.KEYSTEAD_EXPORT_FOLDER = tmp_path / "exports"
    assert codes(checks.check_exports()) == []
    settings.KEYSTEAD_EXPORT_FOLDER.mkdir(mode=0o700)
    assert codes(checks.check_exports()) == []
    settings.KEYSTEAD_EXPORT_FOLDER.chmod(0o750)
    assert codes(checks.check_exports()) == ["keystead.E016"]


@pytest.mark.parametrize(("name", "value"), [("DAYS", 0), ("DAYS", 366), ("AT_ONCE", 0)])
def test_settings_of_exports_that_cannot_be_are_refused(settings, tmp_path, name, value):
    settings.KEYSTEAD_EXPORT_FOLDER = tmp_path / "exports"
    setattr(settings, f"KEYSTEAD_EXPORT_{name}", value)
    assert codes(checks.check_exports()) == ["keystead.E017"]


@pytest.mark.parametrize(
    ("plug", "url", "expected"),
    [
        ("", "", []),
        (PLUG, "tls://siem.example.org:6514?form=ocsf", []),
        (PLUG, "tcp://siem.example.org", ["keystead.W003"]),
        (PLUG, "udp://siem.example.org", ["keystead.W003"]),
        (PLUG, "https://siem.example.org", ["keystead.E018"]),
        (PLUG, "", ["keystead.E018"]),
        ("no.such.plug", "tls://siem.example.org", ["keystead.E018"]),
        ("audit.forwarding.syslog.PORTS", "tls://siem.example.org", ["keystead.E018"]),
    ],
)
def test_a_receiver_that_cannot_be_one_is_refused_and_one_in_the_clear_is_doubted(settings, plug, url, expected):
    settings.KEYSTEAD_LOG_FORWARD, settings.KEYSTEAD_LOG_FORWARD_URL = plug, url
    assert codes(checks.check_forwarding()) == expected


def test_forwarding_is_a_line_of_the_health_page_when_it_is_on(world, settings):
    assert health.forward_part() is None
    settings.KEYSTEAD_LOG_FORWARD, settings.KEYSTEAD_LOG_FORWARD_URL = PLUG, "tls://siem.example.org"
    assert health.forward_part().ok
    name = sealed.configured().receiver
    AuditForward.objects.create(name=name, problem="certificate_refused", attempts=3)
    part = health.forward_part()
    assert (part.ok, part.reason, part.detail) == (False, "failing", "0, certificate refused")
    page = signed_in(world.alice).get("/health/").content.decode()
    assert "Log forwarding" in page
    assert "Nothing is lost; it is tried again by itself." in page
    settings.KEYSTEAD_LOG_FORWARD_URL = "nonsense"
    assert health.forward_part().reason == "misconfigured"


def test_a_receiver_that_takes_less_than_is_recorded_shows(db, settings, monkeypatch):
    settings.KEYSTEAD_LOG_FORWARD, settings.KEYSTEAD_LOG_FORWARD_URL = PLUG, "tls://siem.example.org"
    monkeypatch.setattr(sealed, "state", lambda: sealed.Forwarding(behind=5_001, attempts=0, problem=""))
    assert (health.forward_part().ok, health.forward_part().reason) == (False, "late")
    assert not AuditCheckpoint.objects.exists()
