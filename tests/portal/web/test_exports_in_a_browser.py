"""The pages of exports in Chromium: followed while a worker is at it, clean in each state, light, dark and narrow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from audit import clock
from audit.models import AuditExport
from keys.reports.exports import request_export
from keys.reports.searches import LogSearch
from tests.people import acting
from tests.portal.browser import NARROW, WIDE
from tests.portal.web.looking import browser_of

pytestmark = pytest.mark.browser


def asked(person, **columns):
    export = request_export(
        LogSearch(environment="prod", outcome="success"),
        form=columns.pop("form", "jsonl"),
        actor=acting(person, "export"),
        with_private=columns.pop("with_private", False),
    )
    AuditExport.objects.filter(uid=export.uid).update(**columns)
    return export


def test_the_pages_are_clean_in_every_state_and_follow_a_worker(chromium, portal_server, world):
    at = clock.now()
    browser = browser_of(world.auditor, chromium, portal_server)
    browser.page.goto(portal_server.url + reverse("audit_exports"))
    assert "No file was made yet" in browser.page.content()
    found = [f"empty: {each}" for each in browser.findings()]
    done = asked(
        world.admin, form="bundle", state="done", rows=184_203, total=184_203, size=31_457_280, sha256=b"\xab" * 32,
        finished_at=at, expires_at=at + timedelta(days=7),
    )  # fmt: skip
    failed = asked(world.auditor, state="failed", error="export_no_space", finished_at=at)
    expired = asked(world.admin, form="csv", state="expired", rows=12, size=4_000, finished_at=at)
    running = asked(world.auditor, with_private=True, state="running", rows=40_000, total=184_203, lease_until=at)
    waiting = asked(world.auditor, form="ocsf")
    addresses = [reverse("audit_exports"), reverse("audit_export"), reverse("audit_export") + "?environment=prod"]
    addresses += [reverse("audit_export_file", args=[each.uid]) for each in (done, failed, expired, running, waiting)]
    for address in addresses:
        browser.page.goto(portal_server.url + address)
        found += browser.amiss(address, views=((WIDE, "light"), (WIDE, "dark"), (NARROW, "light")))
    follow(browser.page, portal_server.url, running)
    found += [*browser.violations, *browser.mistakes]
    browser.context.close()
    assert found == []


def follow(page, url, running):
    """The bar moves by itself, and the page comes anew when the file is there."""
    page.goto(url + reverse("audit_export_file", args=[running.uid]))
    AuditExport.objects.filter(uid=running.uid).update(rows=90_000)
    page.locator('#export-progress[value="90000"]').wait_for(timeout=10_000)
    AuditExport.objects.filter(uid=running.uid).update(
        state="done", rows=184_203, size=9, expires_at=clock.now() + timedelta(days=1)
    )
    page.get_by_role("button", name="Download").wait_for(timeout=10_000)
    AuditExport.objects.filter(uid=running.uid).update(state="running", rows=40_000)
