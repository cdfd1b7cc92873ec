"""Every template parses, every component is drawn, and nothing in them needs a weaker policy."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import lucide
import pytest
from django.template.loader import get_template
from django.test import Client

from tests.portal.gallery import PAGES

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
ALL = sorted(str(file.relative_to(TEMPLATES)) for file in TEMPLATES.rglob("*.html"))
# Inline handlers, styles and scripts are what `default-src 'none'` without 'unsafe-inline' refuses.
INLINE = re.compile(r"<[^>]*\s(on[a-z]+|style)\s*=|<style|javascript:|<script(?![^>]*\ssrc=)", re.IGNORECASE)
ICON = re.compile(r"""(?:\{%\s*icon\s+["']([a-z0-9-]+)["'])|(?:\bicon=["']([a-z0-9-]+)["'])""")


def _icons() -> frozenset[str]:
    with zipfile.ZipFile(Path(lucide.__file__).parent / "lucide.zip") as drawn:
        return frozenset(name.removesuffix(".svg") for name in drawn.namelist())


def _icon_names() -> Iterator[tuple[str, str]]:
    for folder in ("templates", "portal"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".html", ".py"}:
                for found in ICON.finditer(file.read_text()):
                    yield str(file.relative_to(ROOT)), found[1] or found[2]


@pytest.fixture
def gallery(settings: object) -> Client:
    settings.ROOT_URLCONF = "tests.portal.gallery"  # type: ignore[attr-defined]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"  # type: ignore[attr-defined]
    return Client(HTTP_HOST="localhost", raise_request_exception=True)


@pytest.mark.parametrize("name", ALL)
def test_every_template_parses(name: str) -> None:
    assert get_template(name)


# No policy of ours reaches a mail program, and no style sheet either (tests/keys/notifications/test_mail_as_html.py).
@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("mail/")])
def test_no_template_needs_inline_script_or_style(name: str) -> None:
    assert not INLINE.search((TEMPLATES / name).read_text())


def test_every_icon_exists() -> None:
    known = _icons()
    assert [(place, name) for place, name in _icon_names() if name not in known] == []


@pytest.mark.parametrize(("path", "status"), PAGES)
def test_gallery_page_is_drawn(gallery: Client, path: str, status: int) -> None:
    answer = gallery.get(path)
    assert answer.status_code == status
    assert not INLINE.search(answer.content.decode())


def test_every_component_is_drawn_in_the_gallery(gallery: Client) -> None:
    drawn = {template.name for path, _ in PAGES for template in gallery.get(path).templates}
    assert {name for name in ALL if name.startswith(("components/", "errors/"))} - drawn == set()


def test_a_refused_form_lists_its_errors_with_links(gallery: Client) -> None:
    page = gallery.get("/form/?bad=1").content.decode()
    assert 'href="#id_purpose"' in page
    assert 'aria-describedby="id_purpose_helptext id_purpose_error"' in page
    assert 'id="id_purpose_error"' in page


def test_sorting_keeps_filters_and_drops_the_cursor(gallery: Client) -> None:
    page = gallery.get("/?q=orders&cursor=abc&sort=name").content.decode()
    assert 'href="?q=orders&amp;sort=-name"' in page
    assert 'aria-sort="ascending"' in page


def test_a_sort_outside_the_allow_list_means_the_default(gallery: Client) -> None:
    page = gallery.get("/?sort=password").content.decode()
    assert page.count("aria-sort") == 1
    assert 'aria-sort="ascending"><a href="?sort=-expires_at"' in page
