"""Signing in: two steps, one answer for every no, one session key for every step."""

import threading
from datetime import timedelta

import pytest
from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.db import connection, connections
from django.test import Client

from audit import clock
from keys.crypto import otp
from keys.models import FactorTries, Session, TotpDevice
from keys.people.recovery_codes import make_recovery_codes
from keys.people.roles import change_roles, deactivate_person
from tests.accounts import BROWSER, PASSWORD, actions, joined, last_event, plain

pytestmark = pytest.mark.usefixtures("committed_db")
COOKIE = settings.SESSION_COOKIE_NAME


def key_of(client):
    return client.cookies[COOKIE].value if COOKIE in client.cookies else ""


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


def test_the_session_key_changes_at_every_step_and_a_planted_key_is_not_taken_over():
    alice = joined("alice")
    alice.client.cookies[COOKIE] = "planted-by-somebody-else-aaaaaaaaaaaaaaaaaaa"
    alice.client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    after_password = key_of(alice.client)
    alice.client.post("/sign-in/second-factor/", {"code": alice.code()})
    after_factor = key_of(alice.client)
    assert len({"planted-by-somebody-else-aaaaaaaaaaaaaaaaaaa", after_password, after_factor}) == 3
    thief = Client()
    thief.cookies[COOKIE] = after_password
    assert thief.get("/account/sessions/").status_code == 302


def test_session_keys_are_stored_hashed():
    client = joined("alice").signs_in()
    key = key_of(client)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, ' ') FROM keys_session t")
        dump = cursor.fetchone()[0]
    assert key not in dump
    assert Session.objects.get().key_hash.startswith("hmac-sha256:")


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
    from django.contrib.auth.hashers import Argon2PasswordHasher

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


def test_ten_wrong_passwords_close_the_door_for_known_and_unknown_alike():
    joined("alice")
    pages = {}
    for email in ("alice@example.com", "stranger@example.com"):
        client = Client(headers=BROWSER)
        answers = [client.post("/sign-in/", {"email": email, "password": "wrong wrong wrong"}) for _ in range(11)]
        assert [answer.status_code for answer in answers] == [422] * 9 + [429] * 2
        assert client.post("/sign-in/", {"email": email, "password": PASSWORD}).status_code == 429
        pages[email] = plain(answers[-1])
    assert len(set(pages.values())) == 1
    assert actions(action="sign-in.locked") == ["sign-in.locked"] * 2


def test_nobody_locks_a_colleague_out():
    alice = joined("alice")
    mallory = Client(REMOTE_ADDR="203.0.113.9")
    for _ in range(12):
        mallory.post("/sign-in/", {"email": alice.person.email, "password": "wrong wrong wrong"})
    alice.signs_in(Client(REMOTE_ADDR="198.51.100.7"))
    assert not FactorTries.objects.filter(failures__gt=0).exists()


def test_nonsense_for_an_address_closes_no_door():
    alice = joined("alice")
    for email in ("1", "", "no address", "@", "a" * 300) * 3:
        assert Client().post("/sign-in/", {"email": email, "password": PASSWORD}).status_code == 422
    alice.signs_in(Client())
    assert actions(action="sign-in.locked") == []
    assert actions(action="sign-in.refused") == ["sign-in.refused"] * 15


def test_wrong_passwords_close_the_door_for_that_address_from_that_place_only():
    alice, bob = joined("alice"), joined("bob")
    for _ in range(10):
        Client().post("/sign-in/", {"email": alice.person.email, "password": "wrong wrong wrong"})
    assert Client().post("/sign-in/", {"email": alice.person.email, "password": PASSWORD}).status_code == 429
    bob.signs_in(Client())
    alice.signs_in(Client(REMOTE_ADDR="198.51.100.7"))


def test_signing_in_forgets_the_wrong_passwords_of_this_person_only():
    alice, bob = joined("alice"), joined("bob")
    for email in [alice.person.email, bob.person.email] * 9:
        Client().post("/sign-in/", {"email": email, "password": "wrong wrong wrong"})
    alice.signs_in(Client())
    wrong = {"password": "wrong wrong wrong"}
    assert Client().post("/sign-in/", wrong | {"email": alice.person.email}).status_code == 422
    assert Client().post("/sign-in/", wrong | {"email": bob.person.email}).status_code == 429


def test_a_door_that_closes_meanwhile_is_told_as_locked(monkeypatch):
    alice = joined("alice")
    for _ in range(10):
        Client().post("/sign-in/", {"email": alice.person.email, "password": "wrong wrong wrong"})
    # The first look found the door open, and the tries of others closed it before the password was looked at.
    monkeypatch.setattr("portal.accounts.steps.AxesProxyHandler.is_allowed", _open_once(AxesProxyHandler.is_allowed))
    assert Client().post("/sign-in/", {"email": alice.person.email, "password": PASSWORD}).status_code == 429
    assert actions(action__startswith="sign-in.")[-1] == "sign-in.locked"


def _open_once(real):
    answers = iter([True])
    return lambda *given, **named: next(answers, None) or real(*given, **named)


def test_ten_wrong_codes_after_a_right_password_close_the_second_door_from_every_place():
    alice = joined("alice")
    for number in range(11):
        client = Client(REMOTE_ADDR=f"203.0.113.{number}")
        client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
        answer = client.post("/sign-in/second-factor/", {"code": "000000"})
        assert answer.status_code == (422 if number < 9 else 429)
    client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    assert client.post("/sign-in/second-factor/", {"code": alice.code()}).status_code == 429
    assert actions(action="second-factor.locked") == ["second-factor.locked"]
    assert len(actions(action="second-factor.refused")) == 9


def test_the_second_door_opens_again_after_half_an_hour():
    alice = joined("alice")
    FactorTries.objects.create(person=alice.person, failures=10, last_failed_at=clock.now() - timedelta(minutes=31))
    alice.signs_in()
    assert FactorTries.objects.get().failures == 0


def test_of_thirty_parallel_uses_of_one_code_one_succeeds():
    alice = joined("alice")
    clients = [Client() for _ in range(30)]
    for client in clients:
        client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    code = alice.code()
    start = threading.Barrier(30)
    answers = []

    def use(client):
        start.wait()
        try:
            answers.append(client.post("/sign-in/second-factor/", {"code": code}).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=use, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(302) == 1
    assert set(answers) <= {302, 422, 503}
    assert actions(action="sign-in.completed") == ["sign-in.completed"]
    assert FactorTries.objects.get().failures == 0, "a repeated right code is no guess and locks nobody out"


def test_a_recovery_code_works_once_and_opens_only_the_change_of_factors():
    alice = joined("alice")
    code = make_recovery_codes(alice.person, actor=alice.actor("factors"))[3].reveal()
    alice.client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    answer = alice.client.post("/sign-in/second-factor/", {"recovery_code": code.upper().replace("-", " ")})
    assert answer["location"] == "/account/factors/"
    assert last_event("sign-in.completed")["details"]["assurance"] == "recovery"
    assert last_event("recovery-codes.used")["details"]["left"] == 9
    other = Client()
    other.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    assert other.post("/sign-in/second-factor/", {"recovery_code": code}).status_code == 422


def test_signing_out_ends_the_session_for_good():
    alice = joined("alice")
    client = alice.signs_in()
    key = key_of(client)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/")["location"] == "/sign-in/"
    thief = Client()
    thief.cookies[COOKIE] = key
    assert thief.get("/account/sessions/").status_code == 302
    assert not Session.objects.filter(person=alice.person).exists()
    assert last_event("session.ended")["reason"] == "signed-out"


def shift(**columns):
    """Make sessions older by SQL, as time would."""
    Session.objects.update(**{name: clock.now() - span for name, span in columns.items()})


@pytest.mark.parametrize(
    ("roles", "idle", "age", "lives"),
    [
        ([], timedelta(minutes=29), timedelta(hours=1), True),
        ([], timedelta(minutes=31), timedelta(hours=1), False),
        ([], timedelta(minutes=1), timedelta(hours=11, minutes=59), True),
        ([], timedelta(minutes=1), timedelta(hours=12, minutes=1), False),
        (["administrator"], timedelta(minutes=14), timedelta(hours=1), True),
        (["administrator"], timedelta(minutes=16), timedelta(hours=1), False),
        (["administrator"], timedelta(minutes=1), timedelta(hours=8, minutes=1), False),
    ],
)
def test_sessions_end_by_the_clock_of_the_database(roles, idle, age, lives):
    client = joined("alice", roles).signs_in()
    shift(last_seen_at=idle, signed_in_at=age)
    assert (client.get("/account/sessions/").status_code == 200) is lives


def test_use_keeps_a_session_alive():
    client = joined("alice").signs_in()
    shift(last_seen_at=timedelta(minutes=20))
    client.get("/account/sessions/")
    assert clock.now() - Session.objects.get().last_seen_at < timedelta(minutes=1)


def test_a_deactivated_person_is_out_at_the_next_call():
    alice, admin = joined("alice"), joined("admin", ["administrator"])
    client = alice.signs_in()
    deactivate_person(alice.person, actor=admin.actor("people"))
    assert client.get("/account/sessions/").status_code == 302
    assert not Session.objects.filter(person=alice.person).exists()


def test_a_change_of_roles_gives_every_session_a_new_key_and_forgets_step_ups():
    alice, admin = joined("alice"), joined("admin", ["administrator"])
    client = alice.signs_in()
    Session.objects.update(step_ups=[{"purpose": "people", "method": "totp", "at": clock.now().isoformat()}])
    before = key_of(client)
    change_roles(alice.person, actor=admin.actor("people"), roles=["responder"])
    assert client.get("/account/sessions/").status_code == 200
    assert key_of(client) != before
    assert Session.objects.get().step_ups == []
    thief = Client()
    thief.cookies[COOKIE] = before
    assert thief.get("/account/sessions/").status_code == 302


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
