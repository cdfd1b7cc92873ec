"""Lists page by keyset: nothing twice, nothing lost, in both directions, and odd cursors are no errors."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.test import RequestFactory

from portal.web.listing import Page, keyset_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def names() -> list[str]:
    """Rows that every database has; many share a label, so that the primary key has to break ties."""
    return [str(row) for row in ContentType.objects.order_by("app_label", "pk")]


def _page(cursor: str = "", order: str = "app_label") -> Page[ContentType]:
    http: HttpRequest = RequestFactory().get("/", {"cursor": cursor})
    return keyset_page(ContentType.objects.all(), http, order=order, size=3)


def test_pages_forward_show_every_row_once(names: list[str]) -> None:
    seen, page = [], _page()
    while True:
        seen += [str(row) for row in page.rows]
        if not page.next:
            break
        page = _page(page.next)
    assert seen == names


def test_pages_backward_show_the_same_pages(names: list[str]) -> None:
    second = _page(_page().next)
    first = _page(second.previous)
    assert [str(row) for row in first.rows] == names[:3]
    assert first.previous == ""
    assert [str(row) for row in _page(first.next).rows] == [str(row) for row in second.rows]


def test_descending_order_is_the_reverse(names: list[str]) -> None:
    assert [str(row) for row in _page(order="-app_label").rows] == names[::-1][:3]


@pytest.mark.parametrize("cursor", ["?", "AAAA", "bnVsbA", "WzAsICJ4IiwgIm5vLXV1aWQiXQ", "x" * 400, "WzAsMSwyXQ", "é"])
def test_an_odd_cursor_means_the_first_page(names: list[str], cursor: str) -> None:
    assert [str(row) for row in _page(cursor).rows] == names[:3]
