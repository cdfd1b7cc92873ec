"""The mails of the demo in a real browser: accessible, under their policies, in light and dark, wide and narrow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from audit import clock
from keys.models import Notice
from keys.notifications.mail import send_waiting
from portal.layout import layout_at
from tests.people import World, submitted
from tests.portal.browser import NARROW
from tests.portal.web.looking import browser_of
from tests.servers import PortalServer

pytestmark = pytest.mark.browser


@pytest.fixture
def demo(sealing: object, settings, tmp_path: Path) -> Iterator[PortalServer]:
    """Give a site that is a demo, though a mail server is named: this test sends into its folder."""
    layout = layout_at(os.environ["KEYSTEAD_DATA"])
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(layout.data / "mail")
    server = PortalServer(layout, DEMO="1", EMAIL_URL="smtp://127.0.0.1:1").start()
    yield server
    server.stop()


def test_the_pages_are_accessible_and_the_mail_keeps_its_policy(
    chromium: Browser, demo: PortalServer, world: World, tmp_path: Path
) -> None:
    request = submitted(world)
    Notice.objects.create(
        event_uid=request.pk, person=world.carol, kind="request.submitted", subject_type="request",
        subject_id=str(request.pk), created_at=clock.now(),
    )  # fmt: skip
    assert send_waiting() == 1
    found: list[str] = []
    visit = browser_of(world.alice, chromium, demo)
    visit.page.goto(demo.url + "/demo/mail/")
    for place, following in (("list", f"REQ-{request.number} waits"), ("mail", "See it as a mail program")):
        found += visit.amiss(place, after_click=True)
        visit.page.get_by_role("link", name=following).click()
        visit.page.wait_for_load_state()
    assert visit.page.url.endswith("/html/")
    assert visit.page.get_by_role("link").count() == 1
    visit.page.set_viewport_size(NARROW)  # the mail itself may run no script, so nothing judges more of it
    if visit.page.evaluate("document.documentElement.scrollWidth") > NARROW["width"]:
        found.append("html: scrolls sideways")
    found += visit.violations + visit.mistakes
    visit.context.close()
    assert found == []
