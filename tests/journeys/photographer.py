"""Walk through a fresh demo as its people, and picture what they see."""

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

from playwright.sync_api import Browser, Page

from keys.crypto import otp
from keys.demo.company import PASSWORD
from portal.engines import die_with_parent
from portal.supervisor import FEED_PORT_APART, VERIFY_PORT_APART
from tests.journeys.small_png import write_small
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
        self.url = f"http://localhost:{(port := free_port(apart=(VERIFY_PORT_APART, FEED_PORT_APART)))}"
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
