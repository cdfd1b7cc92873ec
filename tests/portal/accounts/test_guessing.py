"""Guessing closes a door, for whom and from where it must and for nobody else; a code counts once."""

import time
from datetime import timedelta

import pytest
from axes.handlers.proxy import AxesProxyHandler
from django.test import Client, RequestFactory

from audit import clock
from keys.models import FactorTries
from keys.people.recovery_codes import make_recovery_codes
from portal.actors import user_agent_of
from tests.accounts import BROWSER, PASSWORD, actions, joined, last_event, plain
from tests.races import in_parallel

pytestmark = pytest.mark.usefixtures("committed_db")
SECRET = "AKIAIOSFODNN7EXAMPLE"  # the one of its vendor's documentation


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


def test_how_long_a_forgotten_password_takes_tells_nobody_whose_address_is_known():
    """What is written down for a colleague took twice as long as nothing for a stranger: one wish told them apart."""
    joined("alice")
    took, pages = {}, {}
    for email in ("alice@example.com", "stranger@example.com"):
        client, began = Client(headers=BROWSER), time.perf_counter()
        answer = client.post("/password-reset/", {"email": email})
        took[email] = time.perf_counter() - began
        pages[email] = (answer.status_code, plain(answer))
    assert min(took.values()) >= 0.25
    assert pages["alice@example.com"] == pages["stranger@example.com"]
    assert actions(action="password.reset-requested") == ["password.reset-requested"]


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
    answers = in_parallel(30, lambda n: clients[n].post("/sign-in/second-factor/", {"code": code}).status_code)
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


def test_whoever_calls_their_browser_by_a_secret_guesses_as_few_times_and_as_seen_as_others():
    """The log takes no event with a secret, so what a stranger may choose must bring none: neither would be counted."""
    alice = joined("alice")
    mallory = Client(headers={"user-agent": SECRET})
    answer = mallory.post("/sign-in/", {"email": alice.person.email, "password": "wrong wrong wrong"})
    assert (answer.status_code, actions(action="sign-in.refused")) == (422, ["sign-in.refused"])
    mallory.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    answers = [mallory.post("/sign-in/second-factor/", {"code": "000000"}).status_code for _ in range(10)]
    assert answers == [422] * 9 + [429]
    assert len(actions(action="second-factor.refused")) == 9
    assert actions(action="second-factor.locked") == ["second-factor.locked"]


@pytest.mark.parametrize(
    "name", [SECRET, f"\u0001{SECRET[:9]}\u200b{SECRET[9:]}", "a" * 181 + f" {SECRET}", "a" * 179 + f" {SECRET}A"]
)
def test_a_secret_in_the_name_of_a_browser_is_withheld(name):
    assert user_agent_of(RequestFactory().get("/", HTTP_USER_AGENT=name)) == "[withheld]"
    assert user_agent_of(RequestFactory().get("/", HTTP_USER_AGENT="a" * 300)) == "a" * 200
