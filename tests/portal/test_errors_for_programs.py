"""What no view answered is told to programs as a problem (RFC 9457), whichever of the site's doors for them it was."""

import json

import pytest
from django.http import HttpResponse, HttpResponseNotAllowed
from django.test import Client, RequestFactory

from portal.web.errors import FriendlyErrors, csrf_failure, permission_denied, server_error

pytestmark = pytest.mark.django_db
NOT_THERE = [
    "/v1/verify/", "/v1/verify:batch", "/v1/verify-signature", "/v1/forward-auth", "/v1/nonesuch", "/v1/verifiers/x/lease", "/v1/%ff",
    "/oauth2/introspect", "/oauth2/", "/api/", "/api/v2/keys", "/.well-known/nonesuch",
]  # fmt: skip


@pytest.fixture
def programs() -> Client:
    return Client(enforce_csrf_checks=True)


def _is_problem(answer: HttpResponse, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.content)
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:keystead:problem:{code}")
    assert problem["title"]
    assert not answer.cookies


@pytest.mark.parametrize("address", NOT_THERE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_that_is_not_there(programs: Client, address: str, method: str) -> None:
    _is_problem(programs.generic(method, address), 404, "not_found")


@pytest.mark.parametrize("address", ["/v1/jwks", "/v1/openapi.json", "/.well-known/oauth-authorization-server"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_method_that_is_not_answered(programs: Client, address: str, method: str) -> None:
    answer = programs.generic(method, address)
    _is_problem(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"


def test_a_host_that_is_not_ours(programs: Client) -> None:
    _is_problem(programs.get("/v1/verify", headers={"host": "somebody.example"}), 400, "bad_request")


def test_what_failed_and_what_was_forgotten() -> None:
    http = RequestFactory().post("/v1/verify")
    _is_problem(server_error(http), 500, "server_error")
    _is_problem(permission_denied(http), 403, "forbidden")
    _is_problem(csrf_failure(http, "no cookie"), 403, "csrf_failed")


def test_people_get_pages_as_before(programs: Client) -> None:
    assert programs.get("/nonesuch/")["Content-Type"].startswith("text/html")
    http = RequestFactory().get("/keys/")
    for answer in (server_error(http), FriendlyErrors(lambda _: HttpResponseNotAllowed(["POST"]))(http)):
        assert answer["Content-Type"].startswith("text/html")
