"""The gallery in Chromium: no axe finding, no breach of the policy, no sideways scrolling, in light, dark and narrow."""

import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.core.wsgi import get_wsgi_application
from playwright.sync_api import Browser, expect

from tests.portal.browser import NARROW, WIDE, Visit
from tests.portal.gallery import PAGES

pytestmark = pytest.mark.browser


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        pass


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@pytest.fixture
def gallery_url(settings: object, tmp_path: Path) -> Iterator[str]:
    settings.ROOT_URLCONF = "tests.portal.gallery"  # type: ignore[attr-defined]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"  # type: ignore[attr-defined]
    settings.STATIC_ROOT = str(tmp_path)  # type: ignore[attr-defined]
    server = make_server("127.0.0.1", 0, get_wsgi_application(), server_class=_Threads, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide-light", "narrow-dark"])
def test_pages_are_accessible_and_keep_the_policy(
    chromium: Browser,
    gallery_url: str,
    viewport: dict[str, int],
    scheme: str,
) -> None:
    made = Visit(chromium.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce"))  # type: ignore[arg-type]
    for path, _ in PAGES:
        made.page.goto(gallery_url + path)
        assert made.page.locator("html").get_attribute("data-bs-theme") == scheme
        assert made.findings(looks_only=viewport is NARROW) == [], path
        assert made.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
    made.context.close()
    assert made.violations == []
    assert [words for words in made.mistakes if "Failed to load resource" not in words] == []


def test_after_a_click_the_page_that_comes_is_judged_and_not_the_one_that_leaves(
    visit: Visit, gallery_url: str
) -> None:
    visit.page.goto(gallery_url)
    visit.page.evaluate("document.title = ''")
    assert len(visit.findings()) == 1
    late = (
        f"document.documentElement.addEventListener('click', () => setTimeout(() => location = '{gallery_url}', 1500))"
    )
    visit.page.evaluate(late)
    visit.page.get_by_role("heading", level=1).click()
    assert visit.findings(after_click=True) == []


def test_the_theme_is_remembered(visit: Visit, gallery_url: str) -> None:
    visit.page.goto(gallery_url)
    visit.page.get_by_role("button", name="Dark").click()
    answer = visit.page.reload()
    assert answer is not None
    assert 'data-bs-theme="dark"' in answer.text()  # drawn by the server: no flash
    expect(visit.page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")


def test_a_secret_is_copied_without_being_shown(visit: Visit, gallery_url: str) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.page.goto(gallery_url)
    expect(visit.page.locator("#new-secret")).to_be_hidden()
    visit.page.locator(".secret [data-copy]").click()
    expect(visit.page.locator(".secret [data-copy-label]")).to_have_text("Copied")
    assert visit.page.evaluate("navigator.clipboard.readText()").endswith("EXAMPLE")
    expect(visit.page.locator("#new-secret")).to_be_hidden()


def test_the_account_menu_opens_and_closes_by_key(visit: Visit, gallery_url: str) -> None:
    visit.page.goto(gallery_url)
    visit.page.locator(".menu > summary").click()
    expect(visit.page.get_by_role("button", name="Sign out")).to_be_visible()
    assert visit.findings() == []
    visit.page.keyboard.press("Escape")
    expect(visit.page.get_by_role("button", name="Sign out")).to_be_hidden()


def test_a_message_can_be_dismissed(visit: Visit, gallery_url: str) -> None:
    visit.page.goto(gallery_url)
    visit.page.get_by_role("button", name="Dismiss this message").first.click()
    expect(visit.page.locator(".toasts [data-dismissible]")).to_have_count(1)
