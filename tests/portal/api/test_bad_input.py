"""What clients should not send, and sometimes do: never a 5xx, always a problem that says what is wrong."""

import json

import pytest

from audit.models import AuditEvent
from keys.crypto.key_text import mint
from portal.api.problems import STATUSES

DRAFT = {
    "service": "orders",
    "environment": "prod",
    "owner_team": "reporting",
    "name": "Nightly report",
    "consumer": "report-builder",
    "purpose": "Build the nightly settlement report.",
    "cryptoperiod_days": 30,
    "authorised_days": 180,
    "scopes": ["orders:read"],
}


@pytest.fixture
def alice(stage):
    return stage.client("developer")


def post(client, raw, content_type="application/json", **headers):
    return client.generic("POST", "/api/v1/requests", raw, content_type=content_type, **headers)


def problem(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    said = answer.json()
    assert said["status"] == status in STATUSES
    assert said["type"] == f"urn:keystead:problem:{code}"
    assert said["title"]
    assert said["request_id"] == answer["X-Request-ID"]
    return said


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b'{"name": "a", "name": "b"}',
        b'{"name": "a\\u0000"}',
        b'{"limits": {"a": 1, "a": 2}}',
        b"\xff",
        b'{"authorised_days": NaN}',
        b'{"authorised_days": 1.5}',
        b'{"authorised_days": ' + b"1" * 5000 + b"}",
        b"[" * 50 + b"]" * 50,
        b"[" * 60_000,
        b'{"name": "\\ud800"}',
        b'{"n\xc3\xa4me": 1}',
    ],
)
def test_what_is_not_strict_json_is_400(alice, raw):
    problem(post(alice, raw), 400, "malformed_json")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_other_media_types_are_415(alice, kind):
    problem(post(alice, b"{}", kind), 415, "unsupported_media_type")


def test_other_encodings_of_text_are_415(alice):
    problem(post(alice, b"{}", "application/json; charset=utf-16"), 415, "unsupported_media_type")


def test_too_much_is_413(alice):
    problem(post(alice, b" " * 70_000), 413, "body_too_large")


def test_an_answer_in_another_form_is_406(alice):
    problem(alice.get("/api/v1/keys", HTTP_ACCEPT="text/html"), 406, "not_acceptable")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FROB"])
def test_other_methods_are_405_whoever_asks(stage, method):
    for role in ("developer", "nobody"):
        answer = stage.client(role).generic(method, "/api/v1/keys", b"", content_type="application/json")
        problem(answer, 405, "method_not_allowed")
        assert "GET" in answer["Allow"]


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/", "/api/v1/keys/", "/api/v1/keys/x/y/z"])
def test_wrong_addresses_are_404_in_json(alice, path):
    problem(alice.get(path), 404, "not_found")


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "00000000-0000-0000-0000-000000000000",
        "%00",
        "..%2f..%2fetc",
        "'%20OR%201=1",
        "00000000000000000000000000000000",
        "\uff11",
    ],
)
def test_identifiers_that_name_nothing_are_404_or_400(alice, name):
    answer = alice.get(f"/api/v1/keys/{name}")
    assert answer.status_code in {400, 404}
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("colour=red", "unknown_parameter", "colour"),
        ("id=1", "unknown_parameter", "id"),
        ("state__in=pending", "unknown_parameter", "state__in"),
        ("state=pending&state=denied", "repeated_parameter", "state"),
        ("state=PENDING", "invalid_parameter", "state"),
        ("service=Orders!", "invalid_parameter", "service"),
        ("requester=1", "invalid_parameter", "requester"),
        ("created_from=2026-01-01", "invalid_parameter", "created_from"),
        ("created_from=2026-01-01T00:00:00", "invalid_parameter", "created_from"),
        ("created_from=9999-99-99T00:00:00Z", "invalid_parameter", "created_from"),
        ("created_from=0001-01-01T00:00:00%2B14:00", "invalid_parameter", "created_from"),
        ("limit=0", "invalid_parameter", "limit"),
        ("limit=101", "invalid_parameter", "limit"),
        ("limit=%EF%BC%95", "invalid_parameter", "limit"),
        ("limit=5.0", "invalid_parameter", "limit"),
        ("order=-digest", "invalid_parameter", "order"),
        ("cursor=AAAA", "invalid_parameter", "cursor"),
        ("cursor=", "invalid_parameter", "cursor"),
        ("cursor=" + "A" * 500, "invalid_parameter", "cursor"),
    ],
)
def test_parameters_are_allow_listed_and_exact(alice, query, code, field):
    said = problem(alice.get(f"/api/v1/requests?{query}"), 400, code)
    assert said["errors"] == [{"field": field, "code": code}]


def test_an_operation_without_parameters_reads_none(alice, stage):
    problem(alice.get(f"/api/v1/keys/{stage.living.pk}?full=1"), 400, "unknown_parameter")
    problem(alice.get("/api/v1/me?token=x"), 400, "unknown_parameter")


def test_nul_in_an_address_is_refused(alice):
    assert alice.get("/api/v1/requests?service=%00").status_code == 400


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"colour": "red"}, "colour", "unknown_field"),
        ({"state": "approved"}, "state", "unknown_field"),
        ({"requester": "x"}, "requester", "unknown_field"),
        ({"digest": "0" * 64}, "digest", "unknown_field"),
        ({"name": 7}, "name", "not_text"),
        ({"name": None}, "name", "null"),
        ({"name": ""}, "name", "blank"),
        ({"name": "x" * 81}, "name", "max_length"),
        ({"name": "a\u202eb"}, "name", "unseen_characters"),
        ({"name": "a\u200bb"}, "name", "unseen_characters"),
        ({"name": "a\r\nb"}, "name", "unseen_characters"),
        ({"authorised_days": "180"}, "authorised_days", "not_a_whole_number"),
        ({"authorised_days": True}, "authorised_days", "not_a_whole_number"),
        ({"authorised_days": 0}, "authorised_days", "min_value"),
        ({"authorised_days": -1}, "authorised_days", "min_value"),
        ({"authorised_days": 4000}, "authorised_days", "max_value"),
        ({"authorised_days": 366}, "authorised_days", "over_policy_limit"),
        ({"cryptoperiod_days": 91}, "cryptoperiod_days", "over_policy_limit"),
        ({"self_fetch": "true"}, "self_fetch", "not_true_or_false"),
        ({"self_fetch": 1}, "self_fetch", "not_true_or_false"),
        ({"rotation": {"overlap": "2h"}}, "rotation.overlap", "invalid_choice"),
        ({"rotation": {"every_days": "7"}}, "rotation.every_days", "not_a_whole_number"),
        ({"rotation": {"every_days": 30}}, "rotation.every_days", "interval_never_reached"),
        ({"rotation": {"every_days": 1, "overlap": "7d"}}, "rotation.every_days", "interval_within_overlap"),
        ({"rotation": {"hourly": True}}, "rotation.hourly", "unknown_field"),
        ({"scopes": "orders:read"}, "scopes", "not_a_list"),
        ({"scopes": {}}, "scopes", "not_a_list"),
        ({"scopes": [7]}, "scopes.0", "not_text"),
        ({"scopes": []}, "scopes", "required"),
        ({"scopes": ["orders:*"]}, "scopes", "unknown_scope"),
        ({"scopes": ["wallets:withdraw"]}, "scopes", "unknown_scope"),
        ({"recipient": "alice"}, "recipient", "not_an_identifier"),
        ({"recipient": 5}, "recipient", "not_an_identifier"),
        ({"environment": "PROD"}, "environment", "invalid_choice"),
        ({"environment": 1}, "environment", "invalid_choice"),
        ({"environment": []}, "environment", "invalid_choice"),
        ({"kind": "hmac-sha256"}, "kind", "kind_not_allowed"),
        ({"networks": ["10.0.0.1/8"]}, "networks", "not_a_network"),
        ({"networks": ["0.0.0.0/0"]}, "networks", "network_is_everywhere"),
        ({"networks": ["::ffff:10.0.0.0/104"]}, "networks", "ipv4_mapped"),
        ({"limits": {"per_year": 1}}, "limits.per_year", "unknown_field"),
        ({"limits": {"requests_per_day": 10**12}}, "limits.requests_per_day", "max_value"),
        ({"limits": {"concurrent": 5}}, "limits.concurrent", "unknown_field"),
        ({"service": "nothing"}, "service", "unknown_service"),
        ({"owner_team": "wallets"}, "owner_team", "not_in_owner_team"),
        ({"purpose": "short"}, "purpose", "too_short"),
        ({"verifies_service": "orders"}, "verifies_service", "only_for_verifying_keys"),
    ],
)
def test_each_wrong_field_is_named(alice, change, field, code):
    answer = post(alice, json.dumps(DRAFT | change).encode())
    errors = problem(answer, 422, "invalid_input")["errors"]
    assert [(each["field"], each["code"]) for each in errors] == [(field, code)]


def test_a_body_that_is_no_object_is_422(alice):
    for raw in (b"[]", b'"x"', b"7", b"null", b"true"):
        assert post(alice, raw).status_code == 422, raw


def test_a_secret_in_a_text_is_refused_and_on_record(alice):
    secret = mint("prod").secret.reveal()
    answer = post(alice, json.dumps(DRAFT | {"purpose": f"It is like this one: {secret}"}).encode())
    problem(answer, 422, "invalid_input")
    assert secret not in answer.content.decode()
    assert AuditEvent.objects.with_action("audit.secret-blocked").count() == 1
