"""A machine gets one token of whoever typed its code and allowed it; everything else gets the errors of RFC 8628."""

import json
import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection

from audit.models import AuditEvent
from keys.crypto.key_text import is_token
from keys.models import DeviceSignIn, Session
from keys.people.device_sign_ins import token_period, write_sign_in
from keys.people.session_ends import session_name
from keys.policy.device_rules import presence_for
from portal.checks import check_devices
from tests.accounts import actions, last_event
from tests.devices import answered, asks, begun, browser_of, entered, polled, sent, token_of

BEGIN = "client_id=keystead-cli&device_name=laptop"
POLL = "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=keystead-cli&device_code="


def refusal(answer):
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Type"] == "application/json"
    return answer.status_code, answer.json()["error"]


def later(**columns):
    """Let time pass for every sign-in, and fit the MACs again: the clock is no attack."""
    for row in DeviceSignIn.objects.all():
        write_sign_in(row, **{name: getattr(row, name) - span for name, span in columns.items()})


def test_alice_signs_her_machine_in_and_only_once(world):
    asking = begun()
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", asking["user_code"])
    assert asking["verification_uri"] == f"{settings.KEYSTEAD_PUBLIC_URL}/device/"
    assert asking["verification_uri_complete"] == f"{asking['verification_uri']}?user_code={asking['user_code']}"
    assert (asking["expires_in"], asking["interval"]) == (600, 5)
    assert refusal(polled(asking["device_code"])) == (400, "authorization_pending")
    answered(world.alice, asking)
    given = polled(asking["device_code"])
    assert (given.status_code, given["Cache-Control"], given["Pragma"]) == (200, "no-store", "no-cache")
    assert given.json().keys() == {"access_token", "token_type", "expires_in"}
    assert (given.json()["token_type"], given.json()["expires_in"]) == ("Bearer", 8 * 3600)
    token = given.json()["access_token"]
    assert is_token(token)
    assert asks(token).json()["name"] == "Alice"
    assert refusal(polled(asking["device_code"])) == (400, "invalid_grant")
    assert asks(token).status_code == 401
    assert actions(action__startswith="device-sign-in.") == [
        f"device-sign-in.{each}" for each in ("begun", "code-entered", "allowed", "completed", "reused")
    ]
    told = last_event("device-sign-in.completed")
    assert (told["actor"]["id"], told["details"]["person"]) == (str(world.alice.pk), str(world.alice.pk))
    assert last_event("device-sign-in.allowed")["actor"]["id"] == str(world.alice.pk)


def test_no_code_and_no_token_is_stored_or_told(world):
    asking = begun()
    answered(world.alice, asking)
    token = polled(asking["device_code"]).json()["access_token"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT string_agg(t::text, ' ') FROM keys_devicesignin t) || (SELECT string_agg(t::text, ' ') FROM keys_session t)"
            " || (SELECT string_agg(encode(payload, 'escape'), ' ') FROM audit_event)"
            " || (SELECT string_agg(encode(body, 'escape'), ' ') FROM audit_private)"
        )
        dump = cursor.fetchone()[0]
    for secret in (
        asking["device_code"],
        asking["user_code"],
        asking["user_code"].replace("-", ""),
        token,
        token[-49:],
    ):
        assert secret not in dump


@pytest.mark.parametrize("code", ["x" * 43, "", "%00" * 43, "a" * 4000, "%C3%A4" * 43, "ks_person_x"])
def test_mallory_with_a_guessed_code_gets_nothing(world, code):
    assert refusal(polled(code))[1] in ("invalid_grant", "invalid_request")


def test_a_code_that_gave_its_token_fills_no_log(world, monkeypatch):
    """Whoever holds it needs nothing else to ask, and nobody can shorten the log."""
    asking = begun()
    answered(world.alice, asking)
    polled(asking["device_code"])
    for _ in range(3):
        assert refusal(polled(asking["device_code"])) == (400, "invalid_grant")
    assert actions(action="device-sign-in.reused") == ["device-sign-in.reused"]
    monkeypatch.setattr("keys.people.device_tokens.REUSE_PERIOD", timedelta())
    polled(asking["device_code"])
    assert len(actions(action="device-sign-in.reused")) == 2, "a minute later"


def test_who_is_turned_away_stays_so(world):
    asking = begun()
    answered(world.alice, asking, "deny")
    for _ in range(2):
        assert refusal(polled(asking["device_code"])) == (400, "access_denied")
    again = browser_of(world.alice, presence_for(asking["id"])).post(f"/device/{asking['id']}/", {"answer": "allow"})
    assert again.status_code == 409
    assert not Session.objects.filter(kind="device").exists()
    assert actions(action="device-sign-in.denied")


@pytest.mark.parametrize(("age", "outcome"), [(540, "authorization_pending"), (601, "expired_token")])
def test_a_code_ends_by_the_clock_of_the_database(world, age, outcome):
    asking = begun()
    later(expires_at=timedelta(seconds=age))
    assert refusal(polled(asking["device_code"])) == (400, outcome)


def test_what_was_allowed_in_time_and_fetched_too_late_is_over(world):
    asking = begun()
    answered(world.alice, asking)
    later(expires_at=timedelta(seconds=601))
    assert refusal(polled(asking["device_code"])) == (400, "expired_token")


def test_who_asks_too_often_waits_five_seconds_longer_each_time(world):
    asking = begun()
    outcomes = [refusal(polled(asking["device_code"]))[1] for _ in range(3)]
    assert outcomes == ["authorization_pending", "slow_down", "slow_down"]
    assert DeviceSignIn.objects.get().interval_seconds == 15
    later(polled_at=timedelta(seconds=8))
    assert refusal(polled(asking["device_code"]))[1] == "slow_down"
    later(polled_at=timedelta(seconds=20))
    assert refusal(polled(asking["device_code"]))[1] == "authorization_pending"
    DeviceSignIn.objects.update(interval_seconds=600)
    assert refusal(polled(asking["device_code"]))[1] == "slow_down"
    assert DeviceSignIn.objects.get().interval_seconds == 600, "no pause outlasts the code"
    answered(world.alice, asking)
    assert polled(asking["device_code"]).status_code == 200, "an answer is told at once"


CHANGES = {
    "whose it is": "person_id = (SELECT id FROM keys_person WHERE email LIKE 'bob@%%')",
    "what was answered": "is_allowed = true, decided_at = now()",
    "its code": "device_hash = device_hash || 'x'",
    "how long": "expires_at = expires_at + interval '1 day'",
    "its name": "name = 'something else'",
    "with what": "assurance = 'phishing-resistant'",
    "that it gave one": "redeemed_at = now()",
    "no MAC": "row_mac = ''",
    "another key's MAC": "row_mac = 'hmac-sha256:none:' || repeat('0', 64)",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("answer", ["allow", None])
def test_a_row_changed_by_sql_opens_nothing_and_is_on_record(world, change, answer):
    asking = begun()
    if answer:
        answered(world.alice, asking, answer)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE keys_devicesignin SET {change}".replace("%%", "%"))
    assert refusal(polled(asking["device_code"])) == (400, "invalid_grant")
    assert not Session.objects.filter(kind="device").exists()
    if "device_hash" not in change:
        assert actions(action="device-sign-in.row-refused")
        assert not DeviceSignIn.objects.exists()


def test_an_earlier_row_put_back_gives_no_second_token(world):
    asking = begun()
    answered(world.alice, asking)
    before = DeviceSignIn.objects.values("redeemed_at", "row_mac").get()
    assert polled(asking["device_code"]).status_code == 200
    DeviceSignIn.objects.update(**before)
    assert refusal(polled(asking["device_code"])) == (400, "invalid_grant")
    assert not Session.objects.filter(kind="device").exists(), "and ends what the first one opened"


def test_a_code_that_comes_twice_ends_its_own_token_and_no_other(world):
    other = token_of(world.alice, "another")
    asking = begun()
    answered(world.alice, asking)
    token = polled(asking["device_code"]).json()["access_token"]
    session = session_name(Session.objects.get(name="alices laptop"))
    for _ in range(3):
        assert refusal(polled(asking["device_code"])) == (400, "invalid_grant")
    assert (asks(token).status_code, asks(other).status_code) == (401, 200)
    ended = last_event("session.ended")
    assert (ended["target"]["id"], ended["reason"]) == (session, "code-reused")
    reused = AuditEvent.objects.filter(action="device-sign-in.reused").order_by("id")
    assert [json.loads(bytes(each.payload))["details"]["session"] for each in reused] == [session]


ODD = {
    "JSON": (BEGIN, {"content_type": "application/json"}),
    "no type": (BEGIN, {"content_type": ""}),
    "another charset": (BEGIN, {"content_type": "application/x-www-form-urlencoded; charset=utf-16"}),
    "compressed": (BEGIN, {"HTTP_CONTENT_ENCODING": "gzip"}),
    "no body": ("", {}),
    "no form": ("a;b", {}),
    "twice the same": (BEGIN + "&device_name=laptop", {}),
    "twice the client": (BEGIN + "&client_id=keystead-cli", {}),
    "NUL": (BEGIN + "%00", {}),
    "NUL elsewhere": (BEGIN + "&x=%00", {}),
    "no UTF-8": (BEGIN + "%FF", {}),
    "bytes": (BEGIN + "\xff", {}),
    "bidi": (BEGIN + "%E2%80%AE", {}),
    "two lines": (BEGIN + "%0D%0ASet-Cookie", {}),
    "blanks": ("client_id=keystead-cli&device_name=+++", {}),
    "a long name": (BEGIN + "x" * 80, {}),
    "a huge name": (BEGIN + "x" * 60_000, {}),
    "many fields": (BEGIN + "".join(f"&f{number}=1" for number in range(30)), {}),
    "a cookie": (BEGIN, {"HTTP_COOKIE": f"{settings.SESSION_COOKIE_NAME}=x"}),
    "in the address": (BEGIN, {"QUERY_STRING": "client_id=keystead-cli"}),
    "a key as the name": (f"client_id=keystead-cli&device_name=ks_prod_{'a' * 14}_{'b' * 49}", {}),
}


@pytest.mark.parametrize(("body", "extra"), ODD.values(), ids=ODD)
def test_what_is_no_form_of_ours_begins_nothing(world, body, extra):
    answer = sent("device_authorization", body.encode("latin-1"), **extra)
    assert refusal(answer) == (400, "invalid_request")
    assert not DeviceSignIn.objects.exists()
    assert "x" * 50 not in answer.content.decode()


@pytest.mark.parametrize(
    ("door", "body", "extra", "expected"),
    [
        ("device_authorization", "client_id=other&device_name=laptop", {}, (400, "invalid_client")),
        ("device_authorization", "device_name=laptop", {}, (400, "invalid_client")),
        ("device_authorization", BEGIN, {"HTTP_AUTHORIZATION": "Basic a2V5c3RlYWQtY2xpOg=="}, (401, "invalid_client")),
        ("device_authorization", BEGIN + "&scope=everything", {}, (400, "invalid_scope")),
        ("token", "client_id=keystead-cli&grant_type=password", {}, (400, "unsupported_grant_type")),
        ("token", "client_id=keystead-cli", {}, (400, "invalid_request")),
        ("token", POLL, {}, (400, "invalid_request")),
        ("token", POLL + "x&device_code=x", {}, (400, "invalid_request")),
        ("token", POLL + "x", {"content_type": "application/json"}, (400, "invalid_request")),
        ("revoke", "client_id=keystead-cli", {}, (400, "invalid_request")),
        ("revoke", f"client_id=keystead-cli&token=ks_prod_{'a' * 14}_{'b' * 49}", {}, (400, "unsupported_token_type")),
    ],
)
def test_every_other_mistake_has_its_own_error(world, door, body, extra, expected):
    answer = sent(door, body, **extra)
    assert refusal(answer) == expected
    assert ("WWW-Authenticate" in answer) is (expected[0] == 401)


@pytest.mark.parametrize("door", ["device_authorization", "token", "revoke"])
def test_the_doors_take_posts_only_and_no_giants(client, world, door):
    answer = client.get(f"/oauth2/{door}")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert sent(door, "a=" + "x" * 70_000).status_code == 413


@pytest.mark.parametrize("body", ["", "&device_name=", "&scope="])
def test_a_plain_client_of_the_rfc_needs_no_name(world, body):
    """RFC 8628, section 3.1 knows `client_id` and `scope`; what has no value was left out (RFC 6749, section 3.2)."""
    answer = sent("device_authorization", f"client_id=keystead-cli{body}")
    assert answer.status_code == 200, answer.content
    asking = {**answer.json(), "id": DeviceSignIn.objects.get().pk}
    answered(world.alice, asking)
    assert asks(polled(asking["device_code"]).json()["access_token"]).json()["name"] == "Alice"


def test_a_parameter_that_nobody_knows_is_ignored(world):
    assert sent("device_authorization", BEGIN + "&audience=x&scope=").status_code == 200


def test_what_waits_is_bounded_from_one_address_and_in_all(world, monkeypatch):
    for _ in range(10):
        begun()
    refused = sent("device_authorization", BEGIN)
    assert refusal(refused) == (429, "slow_down")
    assert int(refused["Retry-After"]) > 0
    assert begun(REMOTE_ADDR="192.0.2.7")
    monkeypatch.setattr("keys.people.device_sign_ins.MOST_IN_ALL", 11)
    assert refusal(sent("device_authorization", BEGIN, REMOTE_ADDR="192.0.2.8")) == (429, "slow_down")


def test_an_operator_turns_it_off_for_what_waits_and_for_tokens_of_before(world, settings):
    token, asking = token_of(world.alice), begun()
    answered(world.alice, asking)
    settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS = 0
    assert refusal(sent("device_authorization", BEGIN)) == (400, "unauthorized_client")
    assert refusal(polled(asking["device_code"])) == (400, "invalid_grant")
    assert asks(token).status_code == 401
    assert browser_of(world.alice).get("/device/").status_code == 404


@pytest.mark.parametrize(("hours", "told", "lives"), [(0, 0, 0), (8, 0, 8), (9, 1, 8), (-1, 1, 0)])
def test_no_setting_lets_a_device_outlast_a_working_day(settings, hours, told, lives):
    settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS = hours
    assert [each.id for each in check_devices()] == ["keystead.E021"] * told
    assert token_period() == timedelta(hours=lives)


def test_a_token_is_signed_out_by_whoever_holds_it(world):
    token = token_of(world.alice)
    for _ in range(2):
        answer = sent("revoke", f"client_id=keystead-cli&token={token}&token_type_hint=access_token")
        assert (answer.status_code, answer.content) == (200, b"")
    assert asks(token).status_code == 401
    assert actions(action="session.ended") == ["session.ended"]
    told = last_event("session.ended")
    assert (told["reason"], told["details"]["person"]) == ("signed-out", str(world.alice.pk))
    assert sent("revoke", "client_id=keystead-cli&token=nonsense").status_code == 200


def test_bob_takes_nothing_of_alice_with_her_code(world):
    asking = begun()
    assert entered(browser_of(world.alice), asking["user_code"]).status_code == 302
    bob = browser_of(world.bob, presence_for(asking["id"]))
    assert entered(bob, asking["user_code"]).status_code == 422, "whoever typed it first answers it"
    assert bob.get(f"/device/{asking['id']}/").status_code == 404
    assert bob.post(f"/device/{asking['id']}/", {"answer": "allow"}).status_code == 404
    assert refusal(polled(asking["device_code"])) == (400, "authorization_pending")
    mine = begun("bobs")
    answered(world.bob, mine)
    assert asks(polled(mine["device_code"]).json()["access_token"]).json()["name"] == "Bob", (
        "a machine is who allowed it"
    )


def test_everything_refused_leaves_no_session_and_no_grant_in_the_log(world):
    begun()
    assert not Session.objects.exists()
    assert not AuditEvent.objects.filter(action="device-sign-in.completed").exists()
