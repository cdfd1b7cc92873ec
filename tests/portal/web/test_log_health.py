"""Auditors see whether the log holds, and have it looked at now; nobody else finds the page."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import AuditInspection
from keys.tasks import inspect_log
from tests.audit.sealing import make_sealer
from tests.portal.doorway import signed_in

READERS = ["auditor", "admin"]
OTHERS = ["alice", "bob", "carol", "mallory", "responder"]


@pytest.mark.parametrize("who", READERS)
def test_who_reads_the_log_asks_for_an_inspection_and_sees_that_it_waits(world, who):
    client = signed_in(getattr(world, who))
    assert b"Nobody has looked yet" in client.get(reverse("log_health")).content
    answer = client.post(reverse("inspect_now"), follow=True)
    assert answer.redirect_chain == [(reverse("log_health"), 302)]
    assert b"waits for a worker" in answer.content
    assert b'hx-get="/audit/health/inspections/"' in answer.content
    assert AuditInspection.objects.count() == 1
    client.post(reverse("inspect_now"))
    assert AuditInspection.objects.count() == 1


@pytest.mark.parametrize("who", OTHERS)
def test_nobody_else_finds_the_page_or_its_button(world, who):
    client = signed_in(getattr(world, who), "*")
    for name in ("log_health", "inspection_progress"):
        assert client.get(reverse(name)).status_code == 404
    assert client.post(reverse("inspect_now")).status_code == 404
    assert not AuditInspection.objects.exists()


def test_a_stranger_is_sent_to_sign_in(world):
    assert Client().get(reverse("log_health")).status_code == 302


def test_the_result_shows_with_its_place(committed_db, world, superuser, tmp_path, settings):
    sealer = make_sealer(tmp_path / "sealer")
    settings.KEYSTEAD_SEALER_FOLDER = sealer.folder.path
    while sealer.seal().is_full:
        pass
    superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
    superuser.execute(
        "UPDATE audit_event SET outcome = 'denied' WHERE id = (SELECT event_id FROM audit_leaf WHERE index = 5)"
    )
    client = signed_in(world.auditor)
    client.post(reverse("inspect_now"))
    assert inspect_log() == 1
    page = client.get(reverse("log_health")).content
    assert b"the log does not hold" in page
    assert b"The first bad event is at leaf 5." in page
    assert b"hx-get" not in page
