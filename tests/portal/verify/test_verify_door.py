"""The verification door over HTTP: contract, bad input, and what a stranger learns."""

import json

import pytest
from django.test import Client

from keys.crypto.key_text import mint
from tests.people import issued, verifying_credential

pytestmark = pytest.mark.usefixtures("sealing")
HOST = {"HTTP_HOST": "localhost"}


@pytest.fixture
def key(world):
    return issued(world)


@pytest.fixture
def credential(world):
    return verifying_credential(world).reveal()


def knock(body, credential="", *, content_type="application/json", method="POST", query="", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if credential:
        headers["HTTP_AUTHORIZATION"] = f"Bearer {credential}"
    address = "/v1/verify" + (f"?{query}" if query else "")
    return Client(raise_request_exception=True).generic(
        method, address, raw, content_type=content_type, **HOST, **headers
    )


def test_a_valid_key_tells_the_service_what_it_may_do(key, credential):
    answer = knock({"key": key[2].reveal(), "scopes": ["orders:read"], "method": "GET"}, credential)
    assert answer.status_code == 200
    said = answer.json()
    assert said.pop("verified_at") < said.pop("expires_at")
    assert said == {
        "valid": True,
        "kid": key[1].kid,
        "key": str(key[0]),
        "name": "Nightly report",
        "service": "orders",
        "environment": "prod",
        "scopes": ["orders:read"],
        "owner_team": "reporting",
        "consumer": "report-builder",
    }
    assert answer["Cache-Control"] == "no-store"
    assert not answer.cookies
    assert "Vary" not in answer or "Cookie" not in answer["Vary"]


def test_a_refusal_is_an_answer_with_its_reason(key, credential):
    answer = knock({"key": key[2].reveal(), "scopes": ["orders:write"]}, credential)
    assert (answer.status_code, answer.json()) == (200, {"valid": False, "reason": "scope"})


def test_a_stranger_learns_nothing_about_a_kid(key, credential):
    """The same bytes for a kid that does not exist and for a wrong secret of one that does."""
    nobody = knock({"key": mint("prod").secret.reveal()}, credential)
    wrong = knock({"key": mint("prod", kid=key[1].kid).secret.reveal()}, credential)
    assert nobody.content == wrong.content == b'{"valid":false,"reason":"unknown"}'
    assert nobody.status_code == wrong.status_code == 200
    assert sorted(nobody.headers) == sorted(wrong.headers)
    assert {k: v for k, v in nobody.headers.items() if k != "X-Request-ID"} == {
        k: v for k, v in wrong.headers.items() if k != "X-Request-ID"
    }


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "Bearer", "Bearer x", "bearer ks_prod_x_y"])
def test_without_a_credential_there_is_no_answer(key, authorization):
    answer = knock({"key": key[2].reveal()}, HTTP_AUTHORIZATION=authorization)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith('Bearer realm="keystead"')
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_token"


def test_a_key_cannot_ask_about_itself_and_strangers_credentials_look_alike(key):
    own = knock({"key": key[2].reveal()}, key[2].reveal())
    unknown = knock({"key": key[2].reveal()}, mint("prod").secret.reveal())
    assert own.status_code == unknown.status_code == 401
    assert own.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


def test_a_credential_asks_about_one_environment_only(world, key):
    other = verifying_credential(world, environment="test").reveal()
    assert knock({"key": key[2].reveal()}, other).json() == {"valid": False, "reason": "wrong_environment"}


def test_a_credential_that_came_twice_is_refused(key, credential):
    answer = knock({"key": key[2].reveal()}, HTTP_AUTHORIZATION=f"Bearer {credential}, Bearer {credential}")
    assert (answer.status_code, answer.json()["code"]) == (400, "header_repeated")


def test_a_key_in_the_address_is_refused_unread(key, credential):
    answer = knock({"key": key[2].reveal()}, credential, query=f"key={key[2].reveal()}")
    assert answer.status_code == 400
    assert key[1].kid not in answer.content.decode()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_only_post_is_answered(credential, method):
    answer = knock(b"", credential, method=method)
    assert answer.status_code == 405
    assert answer["Allow"] == "POST"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "multipart/form-data"],
)
def test_only_json_in_utf_8_is_read(credential, content_type):
    assert knock({"key": "x"}, credential, content_type=content_type).status_code == 415


def test_encoded_bodies_are_refused(credential):
    assert knock({"key": "x"}, credential, HTTP_CONTENT_ENCODING="gzip").status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"key": "a", "key": "b"}',
        b'{"key": "a\\u0000b"}',
        b"\xff\xfe",
        b'{"key": NaN}',
        b'{"key": 1e400}',
        b'{"key": ' + b"9" * 5000 + b"}",
        b'{"client": ' + b'{"a":' * 12 + b"1" + b"}" * 12 + b"}",
        b"[" * 30_000,
        b'{"key": "\\ud800"}',
    ],
)
def test_what_is_not_strict_json_is_malformed(credential, body):
    answer = knock(body, credential)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ([], "", "not_an_object"),
        ({}, "key", "required"),
        ({"key": 7}, "key", "not_text"),
        ({"key": None}, "key", "not_text"),
        ({"key": "a", "keys": 1}, "keys", "unknown_field"),
        ({"key": "a", "scopes": "orders:read"}, "scopes", "not_a_list_of_scopes"),
        ({"key": "a", "scopes": [1]}, "scopes", "not_a_list_of_scopes"),
        ({"key": "a", "scopes": ["orders:*"]}, "scopes", "not_a_list_of_scopes"),
        ({"key": "a", "method": "get it"}, "method", "not_a_method"),
        ({"key": "a", "client": []}, "client", "not_an_object"),
        ({"key": "a", "client": {"ip": ""}}, "client.ip", "unknown_field"),
        ({"key": "a", "client": {"address": ""}}, "client.address", "not_an_address"),
        ({"key": "a", "client": {"address": "10.0.0.1/8"}}, "client.address", "not_an_address"),
        ({"key": "a", "client": {"address": "\uff11\uff10.0.0.1"}}, "client.address", "not_an_address"),
        ({"key": "a", "client": {"address": "fe80::1%eth0"}}, "client.address", "not_an_address"),
        ({"key": "a", "client": {"address": 167772161}}, "client.address", "not_an_address"),
        ({"key": "a", "client": {"instance": "i" * 101}}, "client.instance", "too_long"),
    ],
)
def test_a_body_of_another_shape_is_refused_by_field(credential, body, field, code):
    answer = knock(body, credential)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": field, "code": code}]


def test_a_key_of_any_length_is_only_malformed(credential):
    for text in ("x" * 60_000, "ks_prod_" + "ü" * 40, " "):
        assert knock({"key": text}, credential).json() == {"valid": False, "reason": "malformed"}


def test_a_body_over_64_kib_is_refused(credential):
    assert knock(b" " * 70_000, credential).status_code == 413


def test_networks_are_checked_against_the_client_and_not_the_service(world, credential):
    text = issued(world, networks=("10.1.0.0/16",))[2].reveal()
    assert knock({"key": text}, credential).json()["reason"] == "network"
    assert knock({"key": text, "client": {"address": "10.1.2.3"}}, credential).json()["valid"] is True
