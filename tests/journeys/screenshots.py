"""Picture every page of a fresh demo into docs/images: `make screenshots`."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from keys.crypto import otp
from keys.demo.company import PASSWORD
from portal.engines import die_with_parent
from tests.journeys.small_png import write_small
from tests.portal.browser import ARGUMENTS, CHROMIUM
from tests.servers import ROOT, free_port

IMAGES = ROOT / "docs" / "images"
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
# Longer pages are cut: a picture says what a page is, not all that is on it.
TALLEST = 1700
SEED = re.compile(r"^  (\S+@\S+)\s+((?:[A-Z2-7]{4} )*[A-Z2-7]{2,4})\s", re.MULTILINE)


class Demo:
    """A demo of its own in a folder of its own, and the seeds that it prints."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="keystead-pictures-"))
        self.folder.chmod(0o755)
        self.url = f"http://localhost:{(port := free_port())}"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_"))
        }
        environment |= {
            "DEMO": "1",
            "PORT": str(port),
            "KEYSTEAD_DATA": str(self.folder),
            "KEYSTEAD_ENV": "development",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portal.supervisor"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self.said = ""
        self.used: dict[str, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()
        deadline = time.monotonic() + 180
        while "demo_code" not in self.said:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the demo did not start:\n{self.said}")
            time.sleep(0.2)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def code(self, email: str) -> str:
        """A fresh code; each works once, so the second of a person waits for the next half minute."""
        seeds = {found[1]: found[2].replace(" ", "") for found in SEED.finditer(self.said)}
        while (step := int(time.time()) // 30) == self.used.get(email):
            time.sleep(0.5)
        self.used[email] = step
        return otp.code_at(base64.b32decode(seeds[email]), step)

    def stop(self) -> None:
        """Stop it and remove its folder."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Photographer:
    """Sign in as people of the demo and picture what they see."""

    def __init__(self, browser: Browser, demo: Demo) -> None:
        self.browser, self.demo = browser, demo
        self.workshop = browser.new_page()
        self.count = 0

    def visitor(self, *, narrow: bool = False, dark: bool = False) -> Page:
        """Somebody with a browser, not signed in."""
        context = self.browser.new_context(
            viewport=NARROW if narrow else WIDE,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        return context.new_page()

    def person(self, login: str, *, narrow: bool = False, dark: bool = False) -> Page:
        """Somebody who signed in."""
        page, email = self.visitor(narrow=narrow, dark=dark), f"{login}@northgate.example"
        page.goto(f"{self.demo.url}/sign-in/")
        page.fill("[name=email]", email)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/second-factor/**")
        page.fill("[name=code]", self.demo.code(email))
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "sign-in" not in url)
        return page

    def goes(self, page: Page, path: str, name: str) -> None:
        """Open a page and picture it."""
        answer = page.goto(self.demo.url + path)
        assert answer is not None
        assert answer.status in {200, 410}, f"{path} answered {answer.status}"
        self.pictures(page, name)

    def pictures(self, page: Page, name: str) -> None:
        """Picture what is shown."""
        page.wait_for_load_state()
        size = page.viewport_size or WIDE
        height = min(int(page.evaluate("document.documentElement.scrollHeight")), TALLEST)
        png = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": size["width"], "height": height})
        write_small(png, IMAGES / f"{name}.png", workshop=self.workshop)
        self.count += 1

    def number(self, page: Page, path: str, name: str) -> str:
        """Find the address of the thing called `name` in a list."""
        page.goto(self.demo.url + path)
        href = page.get_by_role("link", name=name, exact=True).first.get_attribute("href")
        assert href is not None
        return href

    def newest(self, page: Page, action: str) -> str:
        """Find the address of the newest event of an action."""
        page.goto(f"{self.demo.url}/audit/?action={action}")
        href = page.locator(".event-time a").first.get_attribute("href")
        assert href is not None
        return href


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
    ):
        camera.goes(dana, path, name)


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
    """What responder, auditor and administrator see."""
    priya = camera.person("priya")
    camera.goes(priya, "/keys/", "all-keys")
    camera.goes(priya, "/health/", "health")
    judith = camera.person("judith")
    camera.goes(judith, "/audit/", "audit")
    camera.goes(judith, "/audit/lives/1001/", "audit-life")
    auditing(camera, judith)
    lena = camera.person("lena")
    camera.goes(lena, "/admin/", "administration")
    camera.goes(lena, "/admin/keys/person/", "administration-people")
    camera.goes(lena, "/policies/proposals/", "policy-proposals")


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
            for tour in (developer, approver, others, looks):
                tour(camera)
            print(f"{camera.count} pictures in {IMAGES.relative_to(ROOT)}")
            browser.close()
    finally:
        demo.stop()


if __name__ == "__main__":
    main()
