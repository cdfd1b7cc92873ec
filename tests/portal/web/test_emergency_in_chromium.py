"""The pages of an emergency and of a leaver in Chromium, light and dark, wide and narrow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, list_keys
from tests.people import World, acting, issued
from tests.portal.web.looking import amiss
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]


def test_the_pages_are_accessible_keep_the_policy_and_fit(
    chromium: Browser, portal_server: PortalServer, world: World
) -> None:
    first, second = issued(world)[0], issued(world, name="Second")[0]
    actor = acting(world.responder, "revoke")
    wanted = EmergencyFilter(numbers=(second.number,))
    shown = list_keys(wanted, actor=actor)
    act = execute_emergency(wanted, numbers=shown.numbers, digest=shown.digest, measure=Measure.REVOKE, actor=actor)
    pages = ["/emergency/", "/emergency/?team=reporting", "/emergency/?team=nobody", f"/emergency/{act}/"]
    leaving = [f"/people/{world.alice.pk}/left/", f"/people/{world.bob.pk}/left/", f"/keys/{first.number}/recipient/"]
    assert amiss(world.admin, [*pages, *leaving], chromium, portal_server, all_there=False) == []
