"""Refusals become pages that say what to do next and give nothing away."""

from collections.abc import Callable

import pytest
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.test import RequestFactory

from keys.errors import Busy, Conflict, Denied, Gone, KeysError, NotFound
from portal.web.errors import FRIENDLY, FriendlyErrors, answer_error, error_page

pytestmark = pytest.mark.urls("tests.portal.gallery")


@pytest.fixture
def http() -> HttpRequest:
    return RequestFactory().get("/keys/1/")


@pytest.mark.parametrize("status", sorted(FRIENDLY))
def test_each_status_has_a_page(http: HttpRequest, status: int) -> None:
    answer = error_page(http, status, code="some_code")
    assert answer.status_code == status
    assert "some_code" in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Denied("not_yours", rule="may_approve"), 403),
        (Conflict("state_changed"), 409),
        (Gone("already_claimed"), 410),
        (Busy(), 503),
    ],
)
def test_a_refusal_keeps_its_status_and_code(http: HttpRequest, error: KeysError, status: int) -> None:
    answer = answer_error(http, error)
    assert answer.status_code == status
    assert error.code in answer.content.decode()


def test_what_is_hidden_answers_as_what_does_not_exist(http: HttpRequest) -> None:
    hidden = answer_error(http, Denied("not_yours", rule="may_see", hidden=True))
    missing = answer_error(http, NotFound())
    assert hidden.status_code == missing.status_code == 404
    assert "not_yours" not in hidden.content.decode()


def test_busy_says_when_to_come_back(http: HttpRequest) -> None:
    assert answer_error(http, Busy())["Retry-After"]


def _through(get_response: Callable[[HttpRequest], HttpResponse], http: HttpRequest) -> HttpResponse:
    return FriendlyErrors(get_response)(http)


def test_a_wrong_method_is_a_page_that_keeps_its_allow_header(http: HttpRequest) -> None:
    answer = _through(lambda _: HttpResponseNotAllowed(["POST"]), http)
    assert answer.status_code == 405
    assert answer["Allow"] == "POST"
    assert "button" in answer.content.decode()


def test_programs_keep_their_own_form_of_errors() -> None:
    http = RequestFactory().get("/api/v1/keys/")
    middleware = FriendlyErrors(lambda _: HttpResponseNotAllowed(["POST"]))
    answer = middleware(http)
    assert (answer["Content-Type"], answer["Allow"]) == ("application/problem+json", "POST")
    assert middleware.process_exception(http, Conflict("state_changed")) is None


def test_a_code_whose_parameters_changed_still_makes_a_page(http: HttpRequest) -> None:
    assert answer_error(http, KeysError("busy_retry", unexpected=1)).status_code == 400
