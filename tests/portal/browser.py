"""Drive the installed Chromium: pages that report every CSP violation, and axe run past the CSP by DevTools."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# The same engine without the windows around it, where it is installed: a context costs it a third.
CHROMIUM = os.environ.get("KEYSTEAD_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))), None
)
PICTURES = os.environ.get("KEYSTEAD_PICTURES")
View = tuple[dict[str, int], Literal["light", "dark"]]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--force-color-profile=srgb",
    # A page lives for a second: to compile its scripts well, and to tidy up in small steps, costs more than it saves.
    "--js-flags=--no-opt --no-maglev --single-threaded-gc --min-semi-space-size=32",
]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
VIEWS: tuple[View, ...] = ((WIDE, "light"), (NARROW, "dark"))
# Of many pages each is looked at light and wide, and every fifth one dark and narrow too; all of them where there is time.
APART = [5, pytest.param(1, marks=pytest.mark.long)]
AXE_RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# What another scheme or width of the same page can break. The rest is the same elements with the same names once more.
AXE_RULES_OF_LOOKS = {
    "type": "rule",
    "values": [
        "color-contrast",
        "link-in-text-block",
        "target-size",
        "scrollable-region-focusable",
        "aria-hidden-focus",
    ],
}

# Init scripts come in by DevTools, so the policy of the page does not stop them.
_COLLECT = """
document.addEventListener("securitypolicyviolation", (event) => {
  reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} on ${location.pathname}`);
});
"""


class Visit:
    """One browser context with a page, and what went wrong in it."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        # A page is there in half a second; five browsers on two cores, beside other work, were seen to need thirty.
        context.set_default_navigation_timeout(60_000)
        self.violations: list[str] = []
        self.mistakes: list[str] = []
        self._view: View | None = None
        context.expose_function("reportViolation", self._refused)
        context.add_init_script(_COLLECT)
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.mistakes.append(f"{error}"))
        self.page.on("console", lambda entry: self.mistakes.append(entry.text) if entry.type == "error" else None)

    def _refused(self, words: str) -> None:
        self.violations.append(words)

    def show(self, view: View) -> None:
        """Turn the present page, and those that follow, to a width and a scheme; nothing is asked for anew."""
        if view == self._view:
            return
        self._view = view
        viewport, scheme = view
        self.page.set_viewport_size(viewport)  # type: ignore[arg-type]  # a TypedDict of the same two
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        # The page hears of it when it is next painted.
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def amiss(self, name: str, *, views: Sequence[View] = VIEWS, after_click: bool = False) -> list[str]:
        """What of the present page is not accessible or wider than the screen: judged whole in the first view, by looks in others."""
        found = []
        for place, view in enumerate(views):
            self.show(view)
            said = f"{name} {view[1]} {view[0]['width']}"
            lines = self.findings(after_click=after_click and place == 0, looks_only=place > 0)
            found += [f"{said}: {line}" for line in lines]
            if self.page.evaluate("document.documentElement.scrollWidth") > view[0]["width"]:
                found.append(f"{said}: scrolls sideways")
            if PICTURES:
                self.picture(Path(PICTURES) / f"{said}.png".replace("/", "-").replace(" ", "-"))
        self.show(views[0])
        return found

    def findings(self, *, after_click: bool = False, looks_only: bool = False) -> list[str]:
        """Run axe on the present page; a line for each element that fails a rule.

        `looks_only` is for a page that was judged whole in another scheme or width; `after_click` waits for one that was not judged.
        """
        if after_click:
            # A click returns before its page is there, and axe would judge the one that is leaving, however idle it is.
            expect(self.page.locator("html:not([data-judged])")).to_be_attached()
            self.page.wait_for_load_state()
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        found = self.page.evaluate(
            """(rules) => {
              document.documentElement.dataset.judged = "";
              return axe.run(document, {runOnly: rules, resultTypes: ["violations"]});
            }""",
            AXE_RULES_OF_LOOKS if looks_only else AXE_RULES,
        )
        return [
            f"{rule['id']} ({rule['impact']}): {' '.join(map(str, node['target']))}: {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def add_virtual_passkey(self) -> str:
        """Plug in an authenticator that holds passkeys and verifies its user; return its id."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        plugged = session.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        return str(plugged["authenticatorId"])

    def picture(self, file: Path, *, full: bool = True) -> None:
        """Take a picture of the present page."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file, full_page=full)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start Chromium once a module: while it runs, no other module may have an event loop of its own in this thread."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    # Playwright's loop runs in this thread; Django would take it for an async view and refuse the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=20_000)  # milliseconds: several browsers may share two cores
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Open a fresh browser context; at the end nothing may have broken the policy."""
    context = chromium.new_context(viewport=WIDE, reduced_motion="reduce")
    made = Visit(context)
    yield made
    context.close()
    assert made.violations == []
