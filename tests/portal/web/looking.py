"""Look at pages in Chromium as a signed-in person, light and wide, dark and narrow, and say what is amiss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.conf import settings
from playwright.sync_api import Browser

from keys.models import Person
from tests.portal.browser import VIEWS, View, Visit
from tests.portal.web.signing_in import signed_in
from tests.servers import PortalServer


def browser_of(person: Person, browser: Browser, server: PortalServer, view: View = VIEWS[0]) -> Visit:
    viewport, scheme = view
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    key = signed_in(person).cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": key, "url": server.url}])
    return Visit(context)


def amiss(
    person: Person,
    paths: Iterable[str],
    browser: Browser,
    server: PortalServer,
    *,
    views: Sequence[View] = VIEWS,
    all_there: bool = True,
    apart: int = 1,
) -> list[str]:
    """What breaks accessibility, the policy or the width of the screen; without `all_there` pages may answer refusals.

    One page in `apart` is looked at in all views, the others in the first.
    """
    found: list[str] = []
    visit = browser_of(person, browser, server, views[0])
    for place, path in enumerate(paths):
        answer = visit.page.goto(server.url + path)
        if all_there and (answer is None or answer.status != 200):
            found.append(f"{path}: {answer and answer.status}")
        found += visit.amiss(path, views=views[:1] if place % apart else views)
    found += visit.violations
    found += [each for each in visit.mistakes if "Failed to load resource" not in each]
    visit.context.close()
    return found
