"""The pages of holds and periods in Chromium, light and dark, wide and narrow: accessible, within the policy, no sideways scrolling."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from audit.retention import Periods
from keys.people.roles import deactivate_person
from keys.retention.erasure import erase_person
from keys.retention.holds import HeldSpan, lift_hold, place_hold
from keys.retention.periods import chosen, decide_periods, set_periods
from tests.people import World, acting
from tests.portal.browser import NARROW, WIDE
from tests.portal.web.test_pages_in_chromium import browser_of
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]
WHY = "Letter of the court of 12 May, case 4 O 112/26"
PICTURES = os.environ.get("KEYSTEAD_TEST_PICTURES", "")


def test_holds_and_periods_are_accessible_and_fit(chromium: Browser, portal_server: PortalServer, world: World) -> None:
    admin, other = acting(world.admin, "retention", "people"), acting(world.admin2, "retention")
    lifted = place_hold(HeldSpan(from_leaf=2, upto_leaf=9), actor=acting(world.auditor, "retention"), reason=WHY)
    proposal = set_periods(chosen("10-years", "1-year"), actor=admin, reason="As the board decided.", base=Periods())
    lift_hold(lifted, actor=admin)
    empty = [("auditor", "/audit/retention/")]
    found = _look(empty, chromium, portal_server, world)
    decide_periods(proposal, accept=True, actor=other)
    set_periods(chosen("7-years", "90-days"), actor=admin, reason="Less is enough.", base=chosen("10-years", "1-year"))
    erase_person(deactivate_person(world.ben, actor=admin), actor=admin, reason="objection")
    hold = place_hold(HeldSpan(), actor=acting(world.auditor, "retention"), reason=WHY)
    deactivate_person(world.bob, actor=admin)
    pages = [
        ("auditor", "/audit/holds/"),
        ("auditor", "/audit/holds/place/"),
        ("auditor", f"/audit/holds/{lifted.pk}/"),
        ("admin", f"/audit/holds/{hold.pk}/"),
        ("admin", "/audit/retention/"),
        ("admin2", "/audit/retention/"),
        ("admin", f"/admin/keys/person/{world.ben.pk}/change/"),
        ("admin", f"/admin/keys/person/{world.bob.pk}/acts/erase/"),
    ]
    assert found + _look(pages, chromium, portal_server, world) == []


def _look(pages: list[tuple[str, str]], chromium: Browser, server: PortalServer, world: World) -> list[str]:
    found: list[str] = []
    for viewport, scheme in ((WIDE, "light"), (NARROW, "dark")):
        for who, path in pages:
            visit = browser_of(getattr(world, who), chromium, server, viewport, scheme)
            answer = visit.page.goto(server.url + path)
            if answer is None or answer.status != 200:
                found.append(f"{path}: {answer and answer.status}")
            found += [f"{scheme} {path}: {each}" for each in visit.findings()]
            if visit.page.evaluate("document.documentElement.scrollWidth") > viewport["width"]:
                found.append(f"{scheme} {path}: scrolls sideways")
            found += [f"{scheme} {each}" for each in [*visit.violations, *visit.mistakes]]
            if PICTURES:
                name = f"{scheme}-{who}{path.replace('/', '-')}.png"
                visit.picture(Path(PICTURES) / name)
            visit.context.close()
    return found
