"""Picture every page of a fresh demo into docs/images: `make screenshots`."""

from __future__ import annotations

import re

from playwright.sync_api import Page, sync_playwright

from tests.journeys.photographer import IMAGES, Demo, Photographer
from tests.journeys.small_png import write_small
from tests.portal.browser import ARGUMENTS, CHROMIUM
from tests.servers import ROOT

UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def developer(camera: Photographer) -> None:
    """What Dana sees: her keys, a request, a claim, an end."""
    dana = camera.person("dana")
    camera.goes(dana, "/", "my-keys")
    camera.goes(dana, "/requests/new/", "request-where")
    camera.goes(dana, "/requests/new/?service=orders&environment=prod&template=Trading%20bot", "request-what")
    camera.goes(dana, "/requests/", "requests")
    camera.goes(dana, camera.number(dana, "/requests/", "Best execution study"), "request-own")
    key = camera.number(dana, "/", "Price dashboard")
    camera.goes(dana, key, "key")
    camera.goes(dana, f"{key}?view=use", "key-use")
    camera.goes(dana, f"{key}?view=life", "key-life")
    camera.goes(dana, f"{key}renew/", "renew")
    camera.goes(dana, f"{key}revoke/", "revoke")
    camera.goes(dana, f"{key}suspend/", "suspend")
    camera.goes(dana, f"{key}hand-over/", "hand-over")
    camera.goes(dana, "/services/", "services")
    camera.goes(dana, "/services/orders/", "service")
    camera.goes(dana, "/team/", "teams")
    camera.goes(dana, "/team/insight/", "team")
    claims(camera, dana)
    leaked = camera.number(dana, "/", "Fill archive")
    camera.goes(dana, leaked, "key-suspended")
    camera.goes(dana, f"{leaked}leaked/", "leaked")
    for path, name in (
        ("/account/sessions/", "sessions"),
        ("/account/factors/", "factors"),
        ("/account/delegates/", "delegates"),
        ("/account/notifications/", "notifications"),
        ("/needs/", "needs"),
        ("/webhooks/", "webhooks"),
    ):
        camera.goes(dana, path, name)


def rotations(camera: Photographer) -> None:
    """The calendar, one rotation live, and what is asked before each act on it."""
    dana = camera.person("dana")
    camera.goes(dana, "/rotations/", "rotations")
    key = camera.number(dana, "/", "Price dashboard")
    camera.goes(dana, f"{key}rotation/", "rotation")
    camera.goes(dana, f"{key}rotation/undo/", "rotation-undo")
    other = camera.number(dana, "/", "Settlement observer")
    camera.goes(dana, f"{other}rotate/", "rotate")
    camera.goes(dana, f"{other}replace/", "replace")
    theo = camera.person("theo")
    waiting = camera.number(theo, "/", "Order sandbox")
    camera.goes(theo, f"{waiting}rotation/", "rotation-waits")
    camera.goes(theo, f"{waiting}claim/", "rotation-claim")
    lena = camera.person("lena")
    camera.goes(lena, f"{key}rotation/end/", "rotation-end")
    camera.goes(camera.person("kwame", dark=True), f"{key}rotation/", "rotation-dark")
    camera.goes(camera.person("sora", narrow=True), "/rotations/", "rotations-narrow")


def responder(camera: Photographer) -> None:
    """Stop many keys: the list, the confirmation, the receipt; and what somebody would leave."""
    priya = camera.person("priya")
    camera.goes(priya, "/keys/", "all-keys")
    camera.goes(priya, "/health/", "health")
    camera.goes(priya, "/emergency/?team=trading", "emergency")
    priya.get_by_role("radio", name="Replace all secrets").check()
    words = re.search(r"Type (.*) to confirm", priya.locator("label", has_text="to confirm").inner_text())
    assert words is not None
    priya.fill("[name=phrase]", words[1])
    priya.fill("[name=code]", camera.demo.code("priya@northgate.example"))
    priya.get_by_role("button", name="Do it now").click()
    camera.pictures(priya, "emergency-receipt")


def claims(camera: Photographer, page: Page) -> None:
    """Ask where nobody has to approve, and claim; the secret stays folded in the picture."""
    page.goto(f"{camera.demo.url}/requests/new/?service=orders&environment=dev&template=Observer")
    page.fill("[name=name]", "Order replay")
    page.fill("[name=consumer]", "replay-worker")
    page.fill("[name=purpose]", "Replay yesterday's orders against the new matching rules.")
    page.get_by_role("button", name="Create the key").click()
    camera.pictures(page, "key-granted")
    page.get_by_role("link", name="Claim the secret").click()
    camera.pictures(page, "claim")
    page.fill("[name=code]", camera.demo.code("dana@northgate.example"))
    page.get_by_role("button", name="Show me the secret").click()
    camera.pictures(page, "claimed")


def approver(camera: Photographer) -> None:
    """What Abel and Sora see: the inbox and a request, as they decide."""
    sora = camera.person("sora")
    camera.goes(sora, "/inbox/", "inbox")
    abel = camera.person("abel")
    camera.goes(abel, camera.number(abel, "/inbox/", "Best execution study"), "request-decide")
    abel.get_by_role("radio", name="Approve less").check()
    abel.locator("#decide").scroll_into_view_if_needed()
    panel = abel.locator("#decide").screenshot()
    write_small(panel, IMAGES / "decide-less.png", workshop=camera.workshop)
    ines = camera.person("ines")
    camera.goes(ines, camera.number(ines, "/inbox/", "Treasury payouts"), "request-risky")


def others(camera: Photographer) -> None:
    """What auditor and administrator see."""
    judith = camera.person("judith")
    camera.goes(judith, "/audit/", "audit")
    camera.goes(judith, "/audit/lives/1001/", "audit-life")
    auditing(camera, judith)
    lena = camera.person("lena")
    camera.goes(lena, "/admin/", "administration")
    camera.goes(lena, "/admin/keys/person/", "administration-people")
    camera.goes(lena, "/admin/keys/policy/", "administration-policies")
    camera.goes(lena, "/policies/proposals/", "policy-proposals")
    leaver = lena.goto(f"{camera.demo.url}/admin/keys/person/?q=dana")
    assert leaver is not None
    person = lena.locator("a[href*='/keys/person/']", has_text="dana").first.get_attribute("href") or ""
    camera.goes(lena, f"/people/{UUID_TEXT.findall(person)[0]}/left/", "leaver")
    hooks(camera, lena)


def hooks(camera: Photographer, lena: Page) -> None:
    """An endpoint outside that is told of events: asked for, its secret, its deliveries."""
    lena.goto(f"{camera.demo.url}/webhooks/new/")
    lena.fill("[name=url]", "https://hooks.example.com/keystead")
    lena.fill("[name=description]", "Tells the platform team's chat")
    for kind in ("key.revoked", "rotation.prepared"):
        lena.locator(f"input[value='{kind}']").check()
    camera.pictures(lena, "webhook-new")
    lena.fill("[name=code]", camera.demo.code("lena@northgate.example"))
    lena.locator("main form[method=post] button[type=submit]").last.click()
    camera.pictures(lena, "webhook-secret")
    camera.goes(lena, "/webhooks/", "webhooks")


def auditing(camera: Photographer, judith: Page) -> None:
    """A search that is kept, a sample, one event with its proof, and how to verify."""
    judith.goto(f"{camera.demo.url}/audit/searches/new/?environment=prod&action=version.issued")
    judith.fill("[name=name]", "Secrets handed over in production")
    judith.check("[name=is_shared]")
    camera.pictures(judith, "audit-save-search")
    judith.get_by_role("button", name="Save").click()
    camera.goes(judith, "/audit/searches/", "audit-searches")
    judith.goto(f"{camera.demo.url}/audit/samples/new/?environment=prod")
    camera.pictures(judith, "audit-new-sample")
    judith.get_by_role("button", name="Draw").click()
    judith.get_by_role("button", name="Draw it again").click()
    camera.pictures(judith, "audit-sample")
    camera.goes(judith, camera.newest(judith, "key.created"), "audit-event")
    camera.goes(judith, "/audit/verify/", "audit-verify")
    camera.goes(judith, "/audit/exports/", "audit-exports")
    camera.goes(judith, "/audit/health/", "audit-health")
    camera.goes(judith, "/audit/retention/", "audit-retention")
    camera.goes(judith, "/audit/holds/", "audit-holds")


def looks(camera: Photographer) -> None:
    """The doors, and the same pages dark and narrow."""
    visitor = camera.visitor()
    camera.goes(visitor, "/sign-in/", "sign-in")
    camera.goes(camera.person("theo", dark=True), "/", "my-keys-dark")
    kwame = camera.person("kwame", narrow=True)
    camera.goes(kwame, "/", "my-keys-narrow")
    camera.goes(kwame, "/inbox/", "inbox-narrow")


def main() -> None:
    """Start a demo, walk through it, and stop it."""
    demo = Demo()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            camera = Photographer(browser, demo)
            for tour in (developer, rotations, approver, others, responder, looks):
                tour(camera)
            print(f"{camera.count} pictures in {IMAGES.relative_to(ROOT)}")
            browser.close()
    finally:
        demo.stop()


if __name__ == "__main__":
    main()
