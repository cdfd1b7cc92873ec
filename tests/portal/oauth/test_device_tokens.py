"""A token of a device is its person at the API, never with presence, nowhere else, and only as long as their sessions live."""

import json
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from audit import clock
from audit.actor import Actor
from keys.crypto.key_text import mint_token
from keys.models import DeviceSignIn, KeyRequest, KeyVersion, Membership, Session
from keys.people.passwords import store_password
from keys.people.roles import change_roles, deactivate_person, reactivate_person
from keys.people.session_ends import session_name
from keys.people.sessions import end_sessions_of
from keys.people.teams import end_membership
from keys.retention.erasure import erase_person
from keys.webhooks.endpoints import add_endpoint
from tests.accounts import actions, last_event
from tests.devices import answered, asks, begun, browser_of, polled, program, sent, token_of
from tests.people import acting, approved, issued, submitted
from tests.portal.api.test_bad_input import DRAFT


def test_a_token_is_its_person_with_both_factors_and_says_that_it_is_a_device(world):
    token = token_of(world.alice)
    me = asks(token).json()
    assert (me["kind"], me["id"], me["step_ups"]) == ("person", str(world.alice.pk), [])
    assert asks(token, "/api/v1/requests", "POST", json.dumps(DRAFT)).status_code == 201, "no cookie, so no CSRF token"
    told = last_event("request.submitted")
    assert told["actor"]["id"] == str(world.alice.pk)
    assert told["auth"]["methods"] == ["password", "totp", "device"]
    assert (told["auth"]["mfa"], told["auth"]["assurance"]) == (True, "otp")
    assert told["actor"]["session"]


def test_bob_sees_his_own_things_and_nothing_of_alices(world):
    submitted(world)
    mine = KeyRequest.objects.get()
    stranger = token_of(world.mallory)
    assert asks(stranger, f"/api/v1/requests/{mine.pk}").status_code == 404
    assert asks(stranger, "/api/v1/requests").json()["results"] == []
    assert asks(token_of(world.alice), f"/api/v1/requests/{mine.pk}").status_code == 200


def test_what_needs_presence_is_refused_and_changes_nothing(world):
    key, _, _ = issued(world)
    waiting = approved(world, name="Another").versions.get()
    request = submitted(world, name="A third")
    alice, bob = token_of(world.alice), token_of(world.bob)
    # Whatever the row says: presence is proved in a browser.
    steps = [
        {"purpose": each, "method": "totp", "at": clock.now().isoformat()} for each in ("approve", "claim", "revoke")
    ]
    Session.objects.filter(kind="device").update(step_ups=steps)
    before = (KeyVersion.objects.values_list("state", "claimed_at"), KeyRequest.objects.values_list("state"))
    seen = [list(each) for each in before]
    for token, path, body in (
        (bob, f"requests/{request.pk}/approve", {"digest": request.digest}),
        (bob, f"requests/{request.pk}/deny", {"digest": request.digest, "comment": "Not like this."}),
        (alice, f"versions/{waiting.pk}/claim", {}),
        (alice, f"keys/{key.pk}/revoke", {"reason": "superseded"}),
        (alice, f"keys/{key.pk}/suspend", {"reason": "investigation"}),
        (alice, f"keys/{key.pk}/versions", {}),
        (alice, f"keys/{key.pk}/rotate", {}),
        (alice, "me/calendars", {"team": None}),
    ):
        answer = asks(token, f"/api/v1/{path}", "POST", json.dumps(body))
        assert (answer.status_code, answer.json()["code"]) == (403, "step_up_required"), path
        assert last_event("access.denied")["reason"] == "step_up_required"
    assert [list(each.all()) for each in before] == seen


def test_what_silences_or_stops_something_without_presence_is_done_in_a_browser(world):
    """Else a token that was stolen makes its person deaf, or an administrator's everybody's webhooks."""
    token = token_of(world.admin)
    wish = {"url": "https://hooks.example.com/k", "kinds": ["key.revoked"], "description": "SIEM"}
    endpoint = add_endpoint(None, actor=acting(world.admin, "webhooks"), **wish).endpoint
    quiet = {"needs": "now", "reminders": "quiet", "changes": "quiet", "news": "quiet"}
    for path, body in (
        (f"webhooks/{endpoint.pk}/disable", {}),
        (f"webhooks/{endpoint.pk}/test", {}),
        (f"webhook-deliveries/{endpoint.pk}/redeliver", {}),
        ("me/notifications/choose", quiet),
        (f"me/calendars/{endpoint.pk}/remove", {}),
        ("teams/orders/mail", {"mail": "leads"}),
        (f"audit/exports/{endpoint.pk}/cancel", {}),
    ):
        answer = asks(token, f"/api/v1/{path}", "POST", json.dumps(body))
        assert (answer.status_code, answer.json()["code"]) == (403, "browser_only"), path
        assert last_event("access.denied")["reason"] == "browser_only"
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1] + ("a" if token[-1] != "a" else "b"),
        lambda token: mint_token().secret.reveal(),
        lambda token: token.replace("ks_person_", "ks_prod_"),
        lambda token: token + "x",
        lambda token: token[: len("ks_person_") + 14],
        lambda token: "ks_person_" + "\xff" * 20,
        lambda token: f"{token}, Bearer {token}",
        lambda token: "ks_person_" + "a" * 9000,
    ],
)
def test_what_is_no_token_is_nobody(world, spoil):
    answer = asks(spoil(token_of(world.alice)))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_a_token_opens_no_page_no_administration_and_no_door_of_verifiers(world):
    token = token_of(world.alice)
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    for path in ("/", "/keys/", "/account/sessions/", "/device/", "/admin/", "/audit/"):
        assert program().get(path, **bearer).status_code in (302, 404), path
        cookie = Client()
        cookie.cookies[settings.SESSION_COOKIE_NAME] = token
        assert cookie.get(path).status_code in (302, 404), path
    body = json.dumps({"key": token})
    assert asks(token, "/v1/verify", "POST", body).status_code == 401
    for path, method in (
        ("/v1/snapshot", "GET"),
        ("/v1/verifiers", "POST"),
        ("/v1/rotation", "GET"),
        ("/v1/rotation/next", "POST"),
    ):
        assert asks(token, path, method).status_code == 401, path


def test_a_token_in_an_address_or_beside_a_cookie_is_refused(world):
    token = token_of(world.alice)
    for name in ("access_token", "token", "key"):
        assert program().get(f"/api/v1/me?{name}={token}").status_code in (400, 401)
        assert asks(token, f"/api/v1/me?{name}={token}").status_code == 400
    client = browser_of(world.alice)
    answer = client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert (answer.status_code, answer.json()["code"]) == (400, "two_credentials")
    assert asks(token, HTTP_SIGNATURE_INPUT="x=()", HTTP_SIGNATURE="x=:eA==:").status_code == 400


@pytest.mark.parametrize(
    ("roles", "idle", "age", "lives"),
    [
        ([], 59, 60, True),
        ([], 61, 60, False),
        ([], 1, 479, True),
        ([], 1, 481, False),
        (["administrator"], 14, 60, True),
        (["administrator"], 16, 60, False),
    ],
)
def test_tokens_end_by_the_clock_of_the_database(world, roles, idle, age, lives):
    person = world.admin if roles else world.alice
    token = token_of(person)
    later(idle=idle, age=age)
    assert (asks(token).status_code == 200) is lives
    if lives:
        assert clock.now() - Session.objects.get(kind="device").last_seen_at < timedelta(minutes=1)


def later(*, idle, age):
    """Let minutes pass for the token: its times move, and its MAC with them."""
    from keys.people.device_rows import mac_of

    row = Session.objects.get(kind="device")
    row.signed_in_at -= timedelta(minutes=age)
    row.ends_at -= timedelta(minutes=age)
    Session.objects.filter(pk=row.pk).update(
        signed_in_at=row.signed_in_at,
        ends_at=row.ends_at,
        row_mac=mac_of(row),
        last_seen_at=clock.now() - timedelta(minutes=idle),
    )


def test_a_shorter_setting_ends_tokens_of_before(world, settings):
    token = token_of(world.alice)
    later(idle=1, age=121)
    assert asks(token).status_code == 200
    settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS = 2
    assert asks(token).status_code == 401


def test_a_longer_setting_lengthens_no_token_of_before(world, settings):
    settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS = 2
    token = token_of(world.alice)
    settings.KEYSTEAD_DEVICE_SIGN_IN_HOURS = 8
    later(idle=1, age=119)
    assert asks(token).status_code == 200
    later(idle=1, age=2)
    assert asks(token).status_code == 401


CHANGES = {
    "whose it is": "person_id = (SELECT id FROM keys_person WHERE email LIKE 'admin@%')",
    "how long it lives": "ends_at = ends_at + interval '1 day'",
    "since when": "signed_in_at = signed_in_at + interval '1 hour'",
    "without an end": "ends_at = NULL",
    "with what": "assurance = 'phishing-resistant'",
    "how": "methods = '{password,passkey}'",
    "its name": "name = 'something else'",
    "no MAC": "row_mac = ''",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_session_changed_by_sql_opens_nothing_and_ends_on_record(world, change):
    token = token_of(world.alice)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE keys_session SET {change} WHERE kind = 'device'")
    assert asks(token).status_code == 401
    assert last_event("device-sign-in.row-refused")["reason"] == "session"
    assert not Session.objects.filter(kind="device").exists()


def test_a_browsers_session_made_a_devices_by_sql_opens_nothing_and_the_other_way_round(world):
    token = token_of(world.alice)
    client = browser_of(world.alice)
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    Session.objects.filter(kind="device").update(kind="browser")
    assert asks(token).status_code == 401
    Session.objects.update(kind="device")
    assert client.get("/account/sessions/").status_code == 302
    assert asks(key).status_code == 401


def by_password_changed_past_everything(world):
    store_password(world.alice, "a quite different horse staple")


def by_end_of_all_sessions(world):
    # What a changed or reset password, reset factors and a recovery call.
    end_sessions_of(world.alice.pk, actor=Actor.operator("tests"), at=clock.now())


def by_leaving(world):
    deactivate_person(world.alice, actor=acting(world.admin, "people"))


def by_erasure(world):
    deactivate_person(world.alice, actor=acting(world.admin, "people"))
    world.alice.refresh_from_db()
    erase_person(world.alice, actor=Actor.operator("tests"), reason="objection")


def by_other_roles(world):
    change_roles(world.alice, actor=acting(world.admin, "people"), roles=["responder"])


def by_leaving_a_team(world):
    membership = Membership.objects.get(person=world.alice)
    end_membership(membership, actor=acting(world.admin, "people"))


def by_signing_out_everywhere_else(world):
    assert browser_of(world.alice).post("/account/sessions/end-others/").status_code == 302


ENDS = (
    by_password_changed_past_everything,
    by_end_of_all_sessions,
    by_leaving,
    by_erasure,
    by_other_roles,
    by_leaving_a_team,
    by_signing_out_everywhere_else,
)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_whatever_ends_the_sessions_of_a_person_ends_their_devices_and_what_waits(world, end):
    token, waiting, bobs = token_of(world.alice), begun("waits"), token_of(world.bob)
    answered(world.alice, waiting)
    end(world)
    assert asks(token).status_code == 401
    late = polled(waiting["device_code"])
    if late.status_code == 200:
        assert end is by_password_changed_past_everything, "only what nobody else does reaches a machine that waits"
    else:
        assert late.json()["error"] == "invalid_grant"
    assert asks(bobs).status_code == 200, "nobody else is signed out"


def by_ending_it(world):
    device = Session.objects.get(kind="device")
    assert browser_of(world.alice).post(f"/account/sessions/{device.pk}/end/").status_code == 302


def by_coming_back(world):
    deactivate_person(world.alice, actor=acting(world.admin, "people"))
    world.alice.refresh_from_db()
    reactivate_person(world.alice, actor=acting(world.admin, "people"))


@pytest.mark.parametrize(
    "end",
    [
        by_end_of_all_sessions,
        by_coming_back,
        by_other_roles,
        by_leaving_a_team,
        by_signing_out_everywhere_else,
        by_ending_it,
    ],
    ids=lambda end: end.__name__,
)
def test_a_session_that_ended_opens_nothing_when_its_row_is_put_back(world, end):
    token = token_of(world.alice)
    before = Session.objects.get(kind="device")
    end(world)
    for _ in range(2):
        before.save(force_insert=True)  # by SQL, with its MAC of that day
        assert asks(token).status_code == 401
        refused = last_event("session.refused")
        assert (refused["target"]["id"], refused["reason"]) == (session_name(before), "put-back")
        assert not Session.objects.filter(kind="device").exists()


@pytest.mark.parametrize("change", ["another person", "put back"])
def test_nobody_signs_out_in_the_name_that_sql_wrote(world, change):
    """The log would say that Bob did it, or that Alice did it twice."""
    token = token_of(world.alice)
    row = Session.objects.get(kind="device")
    if change == "another person":
        Session.objects.filter(pk=row.pk).update(person=world.bob)
    else:
        by_end_of_all_sessions(world)
        row.save(force_insert=True)
    before = actions(action="session.ended")
    assert sent("revoke", f"client_id=keystead-cli&token={token}").status_code == 200
    assert not Session.objects.filter(pk=row.pk).exists()
    assert actions(action="session.ended") == before
    told = last_event("session.refused" if change == "put back" else "device-sign-in.row-refused")
    assert told["target"]["id"] == session_name(row)
    assert told["actor"]["id"] not in (str(world.alice.pk), str(world.bob.pk))


def test_what_a_machine_could_still_take_is_not_taken_when_its_row_is_put_back(world):
    waiting = begun("waits")
    answered(world.alice, waiting)
    before = DeviceSignIn.objects.get()
    by_signing_out_everywhere_else(world)
    before.save(force_insert=True)
    assert polled(waiting["device_code"]).json()["error"] == "invalid_grant"
    assert not Session.objects.filter(kind="device").exists()
    assert not DeviceSignIn.objects.exists()
    assert last_event("device-sign-in.row-refused")["target"]["id"] == str(before.pk)


def test_a_person_sees_their_devices_and_ends_one(world):
    token = token_of(world.alice, "build+box")
    client = browser_of(world.alice)
    page = client.get("/account/sessions/").content.decode()
    assert "build box" in page
    assert token[: len("ks_person_") + 14] in page
    assert token not in page
    device = Session.objects.get(kind="device")
    assert browser_of(world.bob).post(f"/account/sessions/{device.pk}/end/").status_code == 404
    assert asks(token).status_code == 200
    assert client.post(f"/account/sessions/{device.pk}/end/").status_code == 302
    assert asks(token).status_code == 401
    assert actions(action="session.ended") == ["session.ended"]
