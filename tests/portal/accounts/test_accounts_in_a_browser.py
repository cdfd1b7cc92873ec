"""The account pages in Chromium: from the invitation to a signed-in session with a real passkey ceremony."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from audit import clock
from keys.crypto import otp
from keys.models import Passkey, TotpDevice
from keys.people.factors import seed_of
from tests.accounts import PASSWORD, actions, invited, last_event
from tests.portal.browser import NARROW, PICTURES, WIDE, Visit
from tests.servers import PortalServer

pytestmark = pytest.mark.browser


def look(visit: Visit, name: str) -> None:
    """Check a page as it stands: accessible, on a narrow screen too, and within the policy."""
    assert visit.amiss(name, views=((WIDE, "light"), (NARROW, "light")), after_click=True) == []


def test_a_person_joins_signs_in_and_steps_up_with_a_passkey(visit: Visit, portal_server: PortalServer) -> None:
    page, url = visit.page, portal_server.url
    visit.add_virtual_passkey()
    _, _, token = invited("alice")
    page.goto(f"{url}/invitation/{token}/")
    look(visit, "invitation")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose your second factor")
    look(visit, "set-up")
    page.get_by_role("button", name="Create a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keep these codes somewhere safe")
    look(visit, "recovery-codes")
    assert Passkey.objects.count() == 1

    page.goto(f"{url}/account/factors/")
    look(visit, "factors")
    page.goto(f"{url}/account/sessions/")
    look(visit, "sessions")
    page.get_by_role("button", name="Sign out").last.click()

    page.goto(f"{url}/account/delegates/")
    look(visit, "sign-in")
    page.get_by_label("E-mail address").fill("alice@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Use a passkey")).to_be_visible()
    look(visit, "second-factor")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delegates")
    look(visit, "delegates")
    assert last_event("sign-in.completed")["details"]["assurance"] == "phishing-resistant"

    page.goto(f"{url}/account/step-up/?purpose=claim&next=/account/sessions/")
    look(visit, "step-up")
    page.get_by_role("button", name="Confirm with a passkey and send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Where you are signed in")
    assert actions(action="step-up.completed") == ["step-up.completed"]

    page.goto(f"{url}/account/factors/")
    page.get_by_role("button", name="Confirm with a passkey and send").click()
    expect(page.get_by_role("heading", name="Add a factor")).to_be_visible()
    look(visit, "factors-open")
    for path, name in (("/account/password/", "password"), ("/account/step-up/", "step-up-choice")):
        page.goto(url + path)
        look(visit, name)


def test_a_person_joins_with_an_app_and_needs_no_script(chromium: Browser, portal_server: PortalServer) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page, url = context.new_page(), portal_server.url
    person, _, token = invited("bob")
    page.goto(f"{url}/invitation/{token}/")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Create a passkey")).to_be_hidden()
    page.get_by_role("button", name="Use an authenticator app").click()
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / "totp.png", full_page=True)
    seed = seed_of(TotpDevice.objects.get(user=person))
    page.get_by_label("Code from your authenticator app").fill(otp.code_at(seed, otp.step_at(clock.now())))
    page.get_by_role("button", name="Confirm the app").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keep these codes somewhere safe")
    context.close()


def test_the_pages_of_strangers_are_accessible(visit: Visit, portal_server: PortalServer) -> None:
    for path, name in (
        ("/sign-in/", "sign-in-empty"),
        ("/password-reset/", "password-forgotten"),
        (f"/invitation/{'x' * 43}/", "invitation-over"),
        (f"/password-reset/{'x' * 43}/", "reset-over"),
    ):
        visit.page.goto(portal_server.url + path)
        look(visit, name)
