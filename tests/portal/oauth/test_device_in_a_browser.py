"""A machine is allowed in Chromium, with a passkey and without any script; the pages are accessible in every scheme and width."""

import pytest
from django.conf import settings
from playwright.sync_api import Browser, expect

from keys.models import Session
from keys.policy.device_rules import presence_for
from tests.accounts import PASSWORD, invited, joined, last_event
from tests.devices import asks, begun, polled
from tests.portal.api.sessions import session_cookie
from tests.portal.browser import Visit
from tests.servers import PortalServer

pytestmark = pytest.mark.browser


def test_a_passkey_allows_a_machine_and_the_person_sees_and_ends_it(visit: Visit, portal_server: PortalServer) -> None:
    page, url = visit.page, portal_server.url
    visit.add_virtual_passkey()
    _, _, token = invited("alice")
    page.goto(f"{url}/invitation/{token}/")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Create a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keep these codes somewhere safe")

    asking = begun("Alice's+laptop")
    page.goto(f"{url}/device/?user_code=BCDF-GHJK")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("No machine that waits shows this code")
    assert visit.amiss("device-code", after_click=True) == []
    page.get_by_label("Code").fill(asking["user_code"].lower())
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Let this machine act as you?")
    assert visit.amiss("device-asks", after_click=True) == []
    page.get_by_role("button", name="Confirm with a passkey and send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The machine may go on")
    assert visit.amiss("device-allowed", after_click=True) == []
    assert last_event("step-up.completed")["details"]["purpose"] == presence_for(asking["id"])
    given = polled(asking["device_code"]).json()["access_token"]
    assert asks(given).json()["name"] == "Alice"
    assert last_event("device-sign-in.completed")["auth"]["methods"] == []
    assert Session.objects.get(kind="device").assurance == "phishing-resistant"

    page.get_by_role("link", name="your sessions").click()
    assert visit.amiss("device-session", after_click=True) == []
    page.get_by_role("button", name="End Alice's laptop").click()
    expect(page.get_by_text("The session is ended.")).to_be_visible()
    assert asks(given).status_code == 401


def test_a_code_from_the_app_turns_away_and_allows_without_any_script(
    chromium: Browser, portal_server: PortalServer
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page, url = context.new_page(), portal_server.url
    bob = joined("bob")
    bob.person.refresh_from_db()  # with the password of which a session keeps a hash
    first, second = begun("one"), begun("two")
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session_cookie(bob.person), "url": url}])
    page.goto(f"{url}/device/?user_code={first['user_code']}")
    expect(page.get_by_label("Code")).to_have_value(first["user_code"])
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Turn it away").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The machine was turned away")
    assert polled(first["device_code"]).json()["error"] == "access_denied"
    page.goto(f"{url}/device/?user_code={second['user_code']}")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Code from your authenticator app").fill(bob.code())
    page.get_by_role("button", name="Allow this machine").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The machine may go on")
    assert polled(second["device_code"]).status_code == 200
    context.close()
