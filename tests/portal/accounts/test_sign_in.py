"""Signing in: two steps, one answer for every no."""

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from django.test import Client

from audit import clock
from keys.crypto import otp
from keys.models import Session, TotpDevice
from keys.people.roles import deactivate_person
from tests.accounts import BROWSER, PASSWORD, actions, joined, last_event, plain

pytestmark = pytest.mark.usefixtures("committed_db")


def test_a_person_signs_in_with_a_password_and_a_code():
    alice = joined("alice")
    client = alice.signs_in()
    assert client.get("/account/sessions/").status_code == 200
    event = last_event("sign-in.completed")
    assert event["target"]["id"] == str(alice.person.pk)
    assert event["details"]["method"] == "totp"
    assert event["details"]["assurance"] == "otp"


def test_a_password_alone_opens_no_page():
    alice = joined("alice")
    alice.client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    for path in (
        "/account/sessions/",
        "/account/factors/",
        "/account/delegates/",
        "/account/password/",
        "/account/step-up/",
    ):
        answer = alice.client.get(path)
        assert answer.status_code == 302
        assert answer["location"].startswith("/sign-in/")


def test_unknown_wrong_and_deactivated_get_the_same_answer():
    alice, bob = joined("alice"), joined("bob")
    admin = joined("admin", ["administrator"])
    deactivate_person(bob.person, actor=admin.actor("people"))
    answers = [
        Client(headers=BROWSER).post("/sign-in/", {"email": email, "password": password})
        for email, password in (
            (alice.person.email, "not the password at all"),
            ("stranger@example.com", PASSWORD),
            (bob.person.email, PASSWORD),
            ("no address", PASSWORD),
            ("a" * 300 + "@example.com", PASSWORD),
        )
    ]
    assert {answer.status_code for answer in answers} == {422}
    assert len({plain(answer) for answer in answers[:3]}) == 1
    assert actions(action="sign-in.refused") == ["sign-in.refused"] * 5


def test_unknown_people_cost_one_slow_hash_like_everybody(monkeypatch):
    alice = joined("alice")
    counted = []
    real = Argon2PasswordHasher.encode
    verify = Argon2PasswordHasher.verify
    monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *a, **k: counted.append(1) or real(*a, **k))
    monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *a, **k: counted.append(1) or verify(*a, **k))
    costs = []
    for email in (alice.person.email, "stranger@example.com", "nonsense"):
        counted.clear()
        Client().post("/sign-in/", {"email": email, "password": "wrong wrong wrong"})
        costs.append(len(counted))
    assert costs == [1, 1, 1]


def test_the_address_is_found_however_it_is_typed():
    alice = joined("alice")
    answer = Client().post("/sign-in/", {"email": " ALICE@Example.COM ", "password": PASSWORD})
    assert answer.status_code == 302
    assert alice.person.email == "alice@example.com"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "alice@example.com\x00"),
        ("email", "ali\u202ece@example.com"),
        ("email", "x" * 60_000),
        ("password", "x\x00y" * 10),
        ("password", "p" * 50_000),
        ("password", "\ud800"),
        ("next", "//evil.example"),
        ("next", "/\x00"),
    ],
)
def test_bad_input_is_refused_and_never_a_server_error(field, value):
    form = {"email": "alice@example.com", "password": "wrong wrong wrong"} | {
        field: value.encode("utf-8", "ignore").decode()
    }
    answer = Client().post("/sign-in/", form)
    assert answer.status_code == (400 if "\0" in value else 422)


def test_missing_fields_are_refused():
    assert Client().post("/sign-in/", {}).status_code == 422


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(wanted):
    alice = joined("alice")
    alice.client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD, "next": wanted})
    answer = alice.client.post("/sign-in/second-factor/", {"code": alice.code(), "next": wanted})
    assert answer["location"] == "/"


@pytest.mark.parametrize(
    ("page", "leads_to"),
    [
        ("http://testserver/requests/7/?a=1#decide", "?next=%2Frequests%2F7%2F%3Fa%3D1"),
        ("https://evil.example/requests/7/", ""),
        ("https://testserver/requests/7/", ""),
        ("http://testserver:81/requests/7/", ""),
        ("http://[evil/", ""),
        ("/requests/7/", ""),
        ("", ""),
    ],
)
def test_whoever_sent_a_form_too_late_is_led_back_to_its_page_if_it_is_ours(page, leads_to):
    answer = Client(headers={"referer": page}).post("/requests/7/decide/", {"comment": "Why?"})
    assert answer["location"] == f"/sign-in/{leads_to}"


def test_a_page_that_was_asked_for_is_reached_after_signing_in():
    alice = joined("alice")
    answer = alice.client.get("/account/sessions/?a=1")
    assert answer["location"] == "/sign-in/?next=%2Faccount%2Fsessions%2F%3Fa%3D1"
    page = alice.client.get(answer["location"]).content.decode()
    assert 'name="next" value="/account/sessions/?a=1"' in page
    answer = alice.client.post(
        "/sign-in/", {"email": alice.person.email, "password": PASSWORD, "next": "/account/sessions/"}
    )
    answer = alice.client.post(answer["location"], {"code": alice.code(), "next": "/account/sessions/"})
    assert answer["location"] == "/account/sessions/"


@pytest.mark.parametrize(
    "code",
    [
        "",
        "12345",
        "1234567",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "12345a",
        " 123456",
        "-12345",
        "1234\u0665\u0666",
        "12\x003456",
        "000000\n",
    ],
)
def test_only_six_ascii_digits_are_a_code(code):
    alice = joined("alice")
    alice.client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    answer = alice.client.post("/sign-in/second-factor/", {"code": code})
    assert answer.status_code == (400 if "\0" in code else 422)
    assert alice.client.get("/account/sessions/").status_code == 302


def test_codes_of_the_next_and_the_one_before_the_previous_step_are_refused():
    alice = joined("alice")
    alice.client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    TotpDevice.objects.update(last_step=None)
    step = otp.step_at(clock.now())
    for other in (step - 2, step + 2):
        answer = alice.client.post("/sign-in/second-factor/", {"code": otp.code_at(alice.seed, other)})
        assert answer.status_code == 422


def test_forms_without_their_token_are_refused():
    alice = joined("alice")
    strict = Client(enforce_csrf_checks=True)
    for path in (
        "/sign-in/",
        "/sign-out/",
        "/password-reset/",
        "/account/set-up/passkey/",
        "/sign-in/passkey-options/",
    ):
        assert strict.post(path, {"email": alice.person.email, "password": PASSWORD}).status_code == 403


def test_reading_pages_changes_nothing():
    alice = joined("alice")
    client = alice.signs_in()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_event")
        before = cursor.fetchone()
    sessions = list(Session.objects.values("key_hash", "content", "step_ups", "challenge"))
    for path in ("/sign-in/", "/account/sessions/", "/account/factors/", "/account/delegates/", "/account/password/",
                 "/account/step-up/?purpose=people", "/password-reset/", "/account/set-up/"):  # fmt: skip
        client.get(path)
        client.head(path)
        Client().get(path)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_event")
        assert cursor.fetchone() == before
    assert list(Session.objects.values("key_hash", "content", "step_ups", "challenge")) == sessions


def test_pages_are_never_stored():
    client = joined("alice").signs_in()
    for path in ("/account/sessions/", "/account/factors/", "/account/password/"):
        assert "no-store" in client.get(path)["Cache-Control"]
    assert "no-store" in Client().get("/sign-in/")["Cache-Control"]
