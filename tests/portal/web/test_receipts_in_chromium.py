"""The request's receipts and the witnesses on the page of the parts, in Chromium: light, wide; dark, narrow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Browser

from audit import clock
from audit.models import AuditWitness
from tests.people import World, approved
from tests.portal.web.looking import browser_of
from tests.sealers import SealingThread
from tests.servers import PortalServer

pytestmark = pytest.mark.browser
STATES = {"w1.example.org": "", "w2.example.org": "fork", "object store heads": "unreachable", "w3.example.org": "late"}


def test_receipts_and_witnesses_are_accessible_and_fit(
    chromium: Browser, portal_server: PortalServer, world: World, sealing: SealingThread
) -> None:
    key = approved(world)
    sealing.settle()
    at = clock.now("sealer")
    for name, reason in STATES.items():
        AuditWitness.objects.using("sealer").create(
            name=name, kind="http", is_elsewhere=name != "w3.example.org", size=1_234_567, seen_at=at, reason=reason,
            silent_at=at - timedelta(hours=1) if reason == "late" else at + timedelta(hours=1),
        )  # fmt: skip
    found: list[str] = []
    visit = browser_of(world.alice, chromium, portal_server)
    for path, wanted in (
        (f"/requests/{key.request.number}/", "Decided: Bob"),
        ("/health/", "remembers another log"),
    ):
        visit.page.goto(portal_server.url + path)
        assert wanted in visit.page.content()
        found += visit.amiss(path)
    found += visit.violations
    visit.context.close()
    assert found == []
