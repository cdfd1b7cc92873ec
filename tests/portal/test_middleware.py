"""Identity, bounds, headers and patience of every request, through the whole chain."""

import re

import psycopg
import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from psycopg.errors import LockNotAvailable

from keys.errors import Busy
from portal import client_address, middleware
from portal.middleware import request_id_of
from portal.urls import urlpatterns as doors

pytestmark = pytest.mark.django_db
SECRET = "AKIAIOSFODNN7EXAMPLE"  # the one of its vendor's documentation


def _echo(http):
    return HttpResponse(f"{request_id_of(http)} {http.client_address}")


def _busy(_http):
    raise Busy


def _locked(_http):
    raise OperationalError from LockNotAvailable()


def _away(_http):
    raise OperationalError from psycopg.OperationalError("server closed the connection unexpectedly")


def _missing(_http):
    raise Http404


def _forbidden(_http):
    raise PermissionDenied


def _suspicious(_http):
    raise SuspiciousOperation


def _broken(_http):
    raise ValueError("ks_prod_this-must-not-appear")


urlpatterns = [
    path("echo", _echo),
    path("busy", _busy),
    path("api/v1/locked", _locked),
    path("away", _away),
    path("api/v1/away", _away),
    path("broken", _broken),
    path("missing", _missing),
    path("forbidden", _forbidden),
    path("suspicious", _suspicious),
    *doors,
]


@pytest.fixture
def client(settings):
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


def test_an_identity_is_made_and_one_from_a_stranger_is_not_believed(client):
    answer = client.get("/echo", headers={"X-Request-ID": "chosen-by-a-stranger"})
    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-ID"])
    assert answer.content.decode().startswith(answer["X-Request-ID"])


def test_a_trusted_proxy_may_name_the_request_in_plain_letters_only(client, settings):
    settings.KEYSTEAD_TRUSTED_PROXIES = 1
    assert client.get("/echo", headers={"X-Request-ID": "edge-12345678"})["X-Request-ID"] == "edge-12345678"
    assert client.get("/echo", headers={"X-Request-ID": "two\nlines-12345"})["X-Request-ID"] != "two\nlines-12345"
    assert client.get("/echo", headers={"X-Request-ID": SECRET})["X-Request-ID"] != SECRET, "no event could be written"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.9", "10.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.1"),
        (1, "", None),
        (2, "", None),  # so granian shows one that holds other bytes than ASCII: what our proxies wrote is lost
        (2, " ", None),
        (2, None, "10.0.0.1"),
        (1, "not-an-address", None),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "fe80::1%eth0", None),
    ],
)
def test_the_client_address_is_that_which_the_named_proxies_wrote(settings, proxies, forwarded, expected):
    settings.KEYSTEAD_TRUSTED_PROXIES = proxies
    written = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    http = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", **written)
    assert client_address.of_request(http) == expected


def test_every_answer_is_strict_about_content_frames_and_storing(client):
    answer = client.get("/echo")
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";") if part.strip())
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == policy["connect-src"] == policy["font-src"] == "'self'"
    assert policy["img-src"] == "'self'"
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    assert "camera=()" in answer["Permissions-Policy"]


def test_a_body_over_the_bound_is_refused_before_it_is_read(client):
    answer = client.post("/api/v1/anything", data=b"x" * 65_537, content_type="application/json")
    assert answer.status_code == 413
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "body_too_large"
    assert answer.json()["request_id"] == answer["X-Request-ID"]


@pytest.mark.parametrize("address", ["/echo?q=%00", "/echo?q=a%00b", "/ec%00ho"])
def test_a_nul_in_the_address_is_a_400_and_never_a_500(client, address):
    assert client.get(address).status_code == 400


@pytest.mark.parametrize("address", ["/busy", "/api/v1/locked"])
def test_a_lock_not_had_in_time_is_503_and_says_try_again(client, address):
    answer = client.get(address)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) <= 3
    assert "busy_retry" in answer.content.decode() or address == "/busy"


@pytest.mark.parametrize("address", ["/away", "/api/v1/away"])
def test_a_database_that_is_away_is_503_and_says_that_it_may_be_done(client, address):
    answer = client.get(address)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) <= 10
    assert "whether it was done" in answer.content.decode()
    assert "unexpectedly" not in answer.content.decode()


def test_an_unexpected_error_is_a_500_that_tells_nothing(client):
    answer = client.get("/broken")
    assert answer.status_code == 500
    assert b"ks_prod" not in answer.content
    assert answer["X-Request-ID"]


def test_in_production_metrics_and_status_are_for_the_token_only(client, settings):
    settings.PRODUCTION = True
    for address in ("/metrics", "/status"):
        assert client.get(address, headers={"Accept": "application/json"}).status_code == 404
        settings.KEYSTEAD_METRICS_TOKEN = "a-token-of-some-length"
        bearer = {"Authorization": "Bearer a-token-of-some-length", "Accept": "application/json"}
        assert client.get(address, headers=bearer).status_code == 200
        settings.KEYSTEAD_METRICS_TOKEN = ""


@pytest.mark.parametrize("address", ["/missing", "/forbidden", "/suspicious"])
def test_answers_in_the_clothes_of_errors_are_not_logged_as_failures(client, monkeypatch, address):
    told = []
    monkeypatch.setattr(middleware.log, "error", lambda *words, **_facts: told.append(words))
    assert client.get(address).status_code in {400, 403, 404}
    assert told == []
    client.get("/broken")
    assert ("failed",) in told


@pytest.mark.parametrize("form", [{"a": "x\0y"}, {"a": ["x", "\0"]}, {"a\0": "x"}])
def test_a_nul_in_a_form_is_a_400_with_a_page(client, form):
    answer = client.post("/echo", form)
    assert answer.status_code == 400
    assert "text/html" in answer["Content-Type"]
    assert "a character that cannot be used" in answer.content.decode()
    assert client.post("/echo", "a=x%00", content_type="application/x-www-form-urlencoded").status_code == 400
    assert client.post("/echo", {"a": "x"}).status_code == 200


def test_metrics_are_for_this_machine_or_the_token_in_development(client, settings):
    assert b"keystead_http_answers_total" in client.get("/metrics").content
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 404
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404
    settings.KEYSTEAD_METRICS_TOKEN = "a-token-of-some-length"
    bearer = {"Authorization": "Bearer a-token-of-some-length"}
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9", headers=bearer).status_code == 200
    wrong = {"Authorization": "Bearer another"}
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9", headers=wrong).status_code == 404


def test_metrics_count_by_route_and_never_by_path(client):
    client.get("/nowhere/ks_prod_abc")
    client.get("/echo")
    text = client.get("/metrics").content.decode()
    assert 'route="echo"' in text
    assert "ks_prod_abc" not in text
