"""People see the places that their roles open, and only those that are built."""

from types import SimpleNamespace

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from portal.web.navigation import entries_for, navigation

pytestmark = pytest.mark.urls("tests.portal.gallery")


def _labels(*roles: str, path: str = "") -> list[str]:
    return [str(entry.label) for entry in entries_for(roles, path=path)]


def _http(**extra: object) -> HttpRequest:
    http = RequestFactory().get("/inbox/")
    for name, value in extra.items():
        setattr(http, name, value)
    return http


def test_a_developer_sees_no_audit_and_no_health() -> None:
    assert _labels() == ["My keys", "Requests", "Inbox", "Services", "Team"]


def test_an_auditor_sees_audit_but_not_health() -> None:
    assert "Audit" in _labels("auditor")
    assert "Health" not in _labels("auditor")


def test_a_place_that_is_not_built_is_left_out() -> None:
    assert "Administration" not in _labels("administrator")


def test_the_present_place_is_marked_once() -> None:
    entries = entries_for((), path="/inbox/")
    assert [str(entry.label) for entry in entries if entry.is_current] == ["Inbox"]


def test_nobody_gets_no_navigation() -> None:
    assert "navigation" not in navigation(_http(user=SimpleNamespace(is_authenticated=False)))


def test_someone_whose_second_factor_is_missing_gets_no_navigation() -> None:
    person = SimpleNamespace(is_authenticated=True, roles=[], name="Alice", email="a@example.org")
    assert "navigation" not in navigation(_http(user=person, is_signed_in=False))


def test_the_inbox_count_may_be_computed_late() -> None:
    person = SimpleNamespace(is_authenticated=True, roles=[], name="Alice", email="a@example.org")
    entries = navigation(_http(user=person, inbox_count=lambda: 3))["navigation"]
    assert [entry.count for entry in entries if str(entry.label) == "Inbox"] == [3]


def test_a_theme_cookie_that_we_did_not_set_is_ignored() -> None:
    http = _http(user=None)
    http.COOKIES["theme"] = '"><script>'
    assert navigation(http)["theme"] == "light"
