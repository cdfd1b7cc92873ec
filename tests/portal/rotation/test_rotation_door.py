"""A client replaces its own secret over HTTP: contract, refusals, and what a stranger learns."""

from uuid import uuid4

import pytest
from django.test import Client

from audit.models import AuditEvent
from keys.crypto.key_text import mint
from keys.lifecycle.revocation import revoke_key
from keys.models import Rotation
from keys.states import RevocationReason
from keys.verification import lookup
from portal.rotation import views
from portal.rotation.pace import seconds_to_wait
from tests.fetching import INSIDE, OTHER_TOKEN, OUTSIDE, TOKEN, due, fetching
from tests.people import acting


@pytest.fixture(autouse=True)
def _one_transaction(monkeypatch, valkey):
    """Look keys up in the transaction of the test, which nobody else sees."""
    monkeypatch.setattr(lookup, "VERIFIER", "default")


@pytest.fixture
def key(world):
    return fetching(world)


def ask(method, path, secret="", *, token="", address=INSIDE, **sent):
    headers = {"HTTP_HOST": "localhost", "REMOTE_ADDR": address}
    if secret:
        headers["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    if token:
        headers["HTTP_IDEMPOTENCY_KEY"] = token
    body = sent.pop("body", b"")
    content_type = sent.pop("content_type", "application/json")
    return Client(raise_request_exception=True).generic(
        method, f"/v1/rotation{path}", body, content_type=content_type, **headers, **sent
    )


def test_a_client_sees_fetches_activates_and_goes_on_with_the_new_secret(world, key):
    old = key[2].reveal()
    scheduled = ask("GET", "", old)
    assert scheduled.status_code == 200
    assert {name: scheduled.json()[name] for name in ("state", "ready", "self_fetch", "is_current", "sequence")} == {
        "state": "scheduled", "ready": False, "self_fetch": True, "is_current": True, "sequence": 1,
    }  # fmt: skip
    assert int(scheduled["Retry-After"]) == scheduled.json()["check_after"] == 900
    due(world, key[0])
    seen = ask("GET", "", old).json()
    assert (seen["state"], seen["ready"], seen["next_sequence"]) == ("prepared", True, 2)
    handed = ask("POST", "/next", old, token=TOKEN)
    assert handed.status_code == 200, handed.content
    assert handed["Cache-Control"] == "no-store"
    assert not handed.cookies
    assert sorted(handed.json()) == ["activate_before", "hand_overs", "kid", "overlap", "secret", "sequence"]
    new = handed.json()["secret"]
    waiting = ask("GET", "", new).json()
    assert (waiting["state"], waiting["is_current"], waiting["activate_before"] is None) == (
        "handed-over",
        False,
        False,
    )
    activated = ask("POST", "/activate", new)
    assert activated.status_code == 200, activated.content
    assert (activated.json()["state"], activated.json()["sequence"]) == ("draining", 2)
    assert activated.json()["old_retire_at"] == ask("GET", "", old).json()["retire_at"]
    assert ask("POST", "/activate", new).json() == activated.json()
    assert ask("GET", "", new).json()["is_current"]


def test_without_anything_due_it_is_told_when_to_come_again(key):
    answer = ask("POST", "/next", key[2].reveal(), token=TOKEN)
    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    said = answer.json()
    assert (said["code"], said["state"], said["due_at"] is None) == ("rotation_not_due", "scheduled", False)
    assert int(answer["Retry-After"]) == said["check_after"] == 900


def test_a_stranger_learns_nothing(world, key):
    due(world, key[0])
    kid = key[1].kid
    answers = [
        ask("POST", "/next", secret, token=TOKEN)
        for secret in ("", "nonsense", mint("prod").secret.reveal(), mint("prod", kid=kid).secret.reveal())
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith('Bearer realm="keystead"')
        assert {**answer.json(), "request_id": ""} == {**answers[0].json(), "request_id": ""}
    assert Rotation.objects.open().get().state == "prepared"


def test_a_secret_that_is_over_is_a_stranger_too(world, key):
    due(world, key[0])
    new = ask("POST", "/next", key[2].reveal(), token=TOKEN).json()["secret"]
    revoke_key(key[0], actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    for secret in (key[2].reveal(), new):
        for method, path in (("GET", ""), ("POST", "/next"), ("POST", "/activate")):
            assert ask(method, path, secret, token=TOKEN).status_code == 401


def test_a_lost_answer_costs_only_the_secret_in_it(world, key):
    due(world, key[0])
    lost = ask("POST", "/next", key[2].reveal(), token=TOKEN).json()
    again = ask("POST", "/next", key[2].reveal(), token=TOKEN).json()
    assert (again["hand_overs"], again["sequence"]) == (2, 3)
    assert ask("POST", "/activate", lost["secret"]).status_code == 401
    assert ask("POST", "/activate", again["secret"]).status_code == 200


def test_a_second_token_is_told_that_it_stopped_the_rotation(world, key):
    due(world, key[0])
    first = ask("POST", "/next", key[2].reveal(), token=TOKEN).json()
    answer = ask("POST", "/next", key[2].reveal(), token=OTHER_TOKEN)
    assert (answer.status_code, answer.json()["code"]) == (409, "fetched_by_another")
    assert ask("POST", "/activate", first["secret"]).status_code == 401
    later = ask("POST", "/next", key[2].reveal(), token=TOKEN)
    assert (later.status_code, later.json()["code"]) == (403, "fetch_contested")
    assert ask("GET", "", key[2].reveal()).json()["why_not"] == "fetch_contested"


def test_from_outside_its_networks_a_key_brings_nothing_and_that_is_on_record(world, key):
    due(world, key[0])
    for method, path in (("GET", ""), ("POST", "/next")):
        answer = ask(method, path, key[2].reveal(), token=TOKEN, address=OUTSIDE)
        assert (answer.status_code, answer.json()["code"]) == (403, "network_not_allowed")
    denied = AuditEvent.objects.get(action="access.denied").envelope()  # looking is no attempt at anything
    assert (denied["reason"], denied["details"]["operation"]) == ("network_not_allowed", "intend_fetch")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"token": ""}, 400, "idempotency_key_needed"),
        ({"token": "short"}, 400, "idempotency_key_needed"),
        ({"QUERY_STRING": "key=x"}, 400, "address_not_allowed_here"),
        ({"body": b"{"}, 400, "malformed_json"),
        ({"body": b'{"start": true}'}, 422, "unknown_field"),
        ({"body": b"{}", "content_type": "text/plain"}, 415, "unsupported_media_type"),
    ],
)
def test_what_cannot_be_read_in_one_way_is_refused(world, key, sent, status, code):
    due(world, key[0])
    answer = ask("POST", "/next", key[2].reveal(), **{"token": TOKEN, **sent})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert Rotation.objects.open().get().state == "prepared"


def test_other_methods_are_named_and_nothing_changes_on_get(key):
    assert (ask("POST", "", key[2].reveal())["Allow"], ask("GET", "/next", key[2].reveal())["Allow"]) == (
        "GET, HEAD",
        "POST",
    )


def test_who_asks_too_often_waits_and_without_valkey_nobody_does(key, monkeypatch):
    monkeypatch.setattr("portal.rotation.pace.time.time", lambda: 1_000_000_000.0)  # one window
    answers = [ask("POST", "/next", key[2].reveal(), token=TOKEN) for _ in range(views.MOST_ACTS + 1)]
    assert {each.status_code for each in answers[:-1]} == {409}
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "too_many_requests")
    assert int(answers[-1]["Retry-After"]) > 0
    monkeypatch.setattr("portal.rotation.pace.cache.add", _gone)
    assert ask("POST", "/next", key[2].reveal(), token=TOKEN).status_code == 409


def test_no_sixty_seconds_hold_more_than_a_minute_may(monkeypatch):
    now = [1_000_000_000.0 - 1_000_000_000 % 60 + 59]  # the last second of a minute
    monkeypatch.setattr("portal.rotation.pace.time.time", lambda: now[0])
    kid = uuid4().hex
    assert [seconds_to_wait(kid, kind="fetch", most=12) for _ in range(12)] == [0] * 12
    assert seconds_to_wait(uuid4().hex, kind="fetch", most=12) == 0, "each key has its own"
    assert seconds_to_wait(kid, kind="see", most=12) == 0, "and each kind"
    now[0] += 2  # the next minute, by the clock
    waits = [seconds_to_wait(kid, kind="fetch", most=12) for _ in range(50)]
    assert set(waits) == {59}, "who is refused, and asks again, waits no longer by that"
    now[0] += waits[0] - 1
    assert seconds_to_wait(kid, kind="fetch", most=12) == 1
    now[0] += 1
    assert [seconds_to_wait(kid, kind="fetch", most=12) == 0 for _ in range(13)] == [True] * 12 + [False]


def test_the_first_of_many_is_free_again_first(monkeypatch):
    now = [1_000_000_000.0]
    monkeypatch.setattr("portal.rotation.pace.time.time", lambda: now[0])
    kid = uuid4().hex
    for _ in range(12):  # one in each step of five seconds
        assert seconds_to_wait(kid, kind="fetch", most=12) == 0
        now[0] += 5
    assert seconds_to_wait(kid, kind="fetch", most=12) == 5
    now[0] += 5
    assert [seconds_to_wait(kid, kind="fetch", most=12) == 0 for _ in range(2)] == [True, False]


def _gone(*_args, **_named):
    raise ConnectionError


def test_presenting_a_secret_here_is_no_use_of_the_key(key):
    ask("GET", "", key[2].reveal())
    assert not key[1].usage.exists()
    assert not key[1].sightings.exists()
