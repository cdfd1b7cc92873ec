"""Forms in Chromium: sent once, what is wrong has the focus, and a session that ended costs no words."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect

from audit import clock
from keys.approvals.submission import edit_request
from keys.crypto import otp
from keys.models import KeyRequest
from keys.people.factors import confirm_totp, enrol_totp, seed_of
from tests.accounts import joined
from tests.passkeys import passkey_of
from tests.people import World, acting, draft, issued, submitted
from tests.portal.web.looking import browser_of
from tests.portal.web.signing_in import signed_in
from tests.servers import PortalServer

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("sealing")]
PRODUCTION = "/requests/new/?service=orders&environment=prod"
# Two submissions before any answer, as a double click makes them: which of them the page lets go.
TWICE = """() => {
  const form = document.querySelector("main form[method=post]"), let_go = [];
  window.addEventListener("submit", (event) => { let_go.push(!event.defaultPrevented); event.preventDefault(); });
  form.requestSubmit();
  form.requestSubmit();
  return let_go;
}"""
KEPT = {
    "name": "Nightly report",
    "consumer": "report-builder",
    "networks": "10.20.0.0/16",
    "purpose": "Ten minutes of thought.",
}


def typed(page: Page) -> dict[str, str]:
    return {name: page.locator(f"[name={name}]").input_value() for name in KEPT}


def type_in(page: Page) -> None:
    for name, words in KEPT.items():
        page.fill(f"[name={name}]", words)
    page.check("[name=scopes][value='orders:read']")
    page.check("[name=cryptoperiod_days][value='7']")
    page.select_option("[name=overlap]", "1h")


def test_a_form_is_sent_once(chromium: Browser, portal_server: PortalServer, world: World) -> None:
    visit = browser_of(world.alice, chromium, portal_server)
    visit.page.goto(portal_server.url + PRODUCTION)
    assert visit.page.evaluate(TWICE) == [True, False]
    visit.page.goto(portal_server.url + PRODUCTION)
    type_in(visit.page)
    visit.page.dblclick("main form .btn-primary")
    expect(visit.page).to_have_title("REQ-1001 · Nightly report · Keystead")
    assert KeyRequest.objects.count() == 1
    assert visit.violations == []
    visit.context.close()


@pytest.mark.parametrize("who", ["responder", "alice"])
def test_what_is_wrong_has_the_focus(chromium: Browser, portal_server: PortalServer, world: World, who: str) -> None:
    key, _, _ = issued(world)
    suspend = f"/keys/{key.number}/suspend/"
    person, path, words = world.alice, PRODUCTION, "things to mend"
    if who == "responder":
        person, path, words = joined("rita", ["responder"]).person, suspend, "did not fit"
        person.refresh_from_db()
    visit = browser_of(person, chromium, portal_server)
    visit.page.goto(portal_server.url + path)
    if path == suspend:
        visit.page.locator("[name=reason]").first.check()
        visit.page.fill("[name=code]", "12345")
    visit.page.locator("main form [type=submit]").last.click()
    focused = visit.page.locator("[data-error-summary]")
    expect(focused).to_be_focused()
    expect(focused).to_be_in_viewport()
    expect(focused).to_contain_text(words)
    assert visit.page.title().startswith("To mend: ")
    assert visit.amiss(path) == []
    for link in focused.locator("a").all():
        link.click()
        target = str(link.get_attribute("href"))
        assert visit.page.evaluate("document.activeElement.id") == target.lstrip("#"), "a way to the field"
    visit.context.close()


def test_words_outlive_the_session_in_which_they_were_typed(
    chromium: Browser, portal_server: PortalServer, world: World
) -> None:
    visit = browser_of(world.alice, chromium, portal_server)
    page, cookie = visit.page, settings.SESSION_COOKIE_NAME

    def sign_in(name: str) -> None:
        key = signed_in(getattr(world, name)).cookies[cookie].value
        visit.context.add_cookies([{"name": cookie, "value": key, "url": portal_server.url}])

    def send_too_late() -> None:
        page.goto(portal_server.url + PRODUCTION)
        type_in(page)
        visit.context.clear_cookies(name=cookie)
        page.click("main form .btn-primary")
        expect(page).to_have_title("Sign in · Keystead")
        assert "next=%2Frequests%2Fnew%2F%3Fservice" in page.url, "signing in leads back"

    send_too_late()
    sign_in("alice")
    page.goto(portal_server.url + PRODUCTION)
    assert typed(page) == KEPT
    assert page.locator("[name=cryptoperiod_days]:checked").input_value() == "7"
    assert page.locator("[name=overlap]").input_value() == "1h"
    expect(page.locator("[data-draft-told]")).to_be_visible()
    assert visit.amiss(PRODUCTION) == []
    page.goto(portal_server.url)
    page.goto(portal_server.url + PRODUCTION)
    assert not any(typed(page).values()), "kept until they are back, and no longer"
    send_too_late()
    sign_in("bob")
    page.goto(portal_server.url + PRODUCTION)
    assert not any(typed(page).values()), "whoever else signs in there finds nothing"
    sign_in("alice")
    page.goto(portal_server.url + PRODUCTION)
    assert not any(typed(page).values())
    visit.context.clear_cookies(name=settings.CSRF_COOKIE_NAME)
    type_in(page)
    page.click("main form .btn-primary")
    expect(page.locator("main")).to_contain_text("csrf_failed")
    page.goto(portal_server.url + PRODUCTION)
    assert typed(page) == KEPT, "nor does signing in beside it, in another tab, cost them"
    page.click("main form .btn-primary")
    expect(page).to_have_title("REQ-1001 · Nightly report · Keystead")
    page.wait_for_function("sessionStorage.getItem('keystead-draft') === null")
    assert visit.violations == []
    visit.context.close()


def test_a_decision_outlives_its_session_too_and_is_given_back_for_the_same_content_alone(
    chromium: Browser, portal_server: PortalServer, world: World
) -> None:
    request = submitted(world)
    passkey_of(world.bob)
    bob = acting(world.bob, "factors")
    phone = enrol_totp(world.bob, actor=bob, name="phone")
    confirm_totp(phone, actor=bob, code=otp.code_at(seed_of(phone), otp.step_at(clock.now())))
    path, cookie = f"/requests/{request.number}/", settings.SESSION_COOKIE_NAME
    visit = browser_of(world.bob, chromium, portal_server)
    page = visit.page
    page.goto(portal_server.url + path)
    page.check("[name=decision][value=deny]")
    page.fill("[name=comment]", "Ten minutes of thought.")
    page.click("form.decide summary")
    page.fill("[name=code]", "123456")
    visit.context.clear_cookies(name=cookie)
    page.click("form.decide [data-passkey-start]")
    expect(page).to_have_title("Sign in · Keystead")
    assert page.url.endswith("?next=" + quote(path, safe="")), "signing in leads back"
    key = signed_in(world.bob).cookies[cookie].value
    visit.context.add_cookies([{"name": cookie, "value": key, "url": portal_server.url}])
    page.goto(portal_server.url + path)
    expect(page.locator("[name=comment]")).to_have_value("Ten minutes of thought.")
    expect(page.locator("[name=decision][value=deny]")).to_be_checked()
    expect(page.locator("[name=code]")).to_have_value("")
    expect(page.locator("[data-draft-told]")).to_be_in_viewport()
    assert visit.amiss(path) == []
    page.click("form.decide summary")
    visit.context.clear_cookies(name=cookie)
    page.click("form.decide [type=submit]")
    expect(page).to_have_title("Sign in · Keystead")
    edit_request(request, draft(world, scopes=("orders:read", "orders:write")), actor=acting(world.alice))
    visit.context.add_cookies([{"name": cookie, "value": key, "url": portal_server.url}])
    page.goto(portal_server.url + path)
    expect(page.locator("[name=comment]")).to_have_value("")
    expect(page.locator("[name=decision][value=deny]")).not_to_be_checked()
    assert visit.violations == []
    visit.context.close()
