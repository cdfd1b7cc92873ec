"""The pages of holds and periods in Chromium, light and dark, wide and narrow: accessible, within the policy, no sideways scrolling."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from audit.retention import Periods
from keys.people.roles import deactivate_person
from keys.retention.erasure import erase_person
from keys.retention.holds import HeldSpan, lift_hold, place_hold
from keys.retention.periods import chosen, decide_periods, set_periods
from tests.people import World, acting
from tests.portal.web.looking import amiss
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]
WHY = "Letter of the court of 12 May, case 4 O 112/26"


def test_holds_and_periods_are_accessible_and_fit(chromium: Browser, portal_server: PortalServer, world: World) -> None:
    admin, other = acting(world.admin, "retention", "people"), acting(world.admin2, "retention", "people")
    lifted = place_hold(HeldSpan(from_leaf=2, upto_leaf=9), actor=acting(world.auditor, "retention"), reason=WHY)
    proposal = set_periods(chosen("10-years", "1-year"), actor=admin, reason="As the board decided.", base=Periods())
    lift_hold(lifted, actor=admin)
    found = amiss(world.auditor, ["/audit/retention/"], chromium, portal_server)
    decide_periods(proposal, accept=True, actor=other)
    set_periods(chosen("7-years", "90-days"), actor=admin, reason="Less is enough.", base=chosen("10-years", "1-year"))
    erase_person(deactivate_person(world.ben, actor=other), actor=admin, reason="objection")
    hold = place_hold(HeldSpan(), actor=acting(world.auditor, "retention"), reason=WHY)
    deactivate_person(world.bob, actor=other)
    person = "/admin/keys/person"
    for who, pages in (
        (world.auditor, ["/audit/holds/", "/audit/holds/place/", f"/audit/holds/{lifted.pk}/"]),
        (world.admin, [
            f"/audit/holds/{hold.pk}/", "/audit/retention/", f"{person}/{world.ben.pk}/change/",
            f"{person}/{world.bob.pk}/acts/erase/",
        ]),
        (world.admin2, ["/audit/retention/"]),
    ):  # fmt: skip
        found += amiss(who, pages, chromium, portal_server)
    assert found == []
