"""A session has a new key at every step, ends by the clock, and is gone when its person is."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from audit import clock
from audit.models import AuditEvent
from keys.models import Session
from keys.operations import operation
from keys.people.roles import change_roles, deactivate_person
from keys.people.session_ends import SessionName, session_name
from keys.people.sessions import end_sessions_of
from tests.accounts import PASSWORD, joined, last_event

pytestmark = pytest.mark.usefixtures("committed_db")
COOKIE = settings.SESSION_COOKIE_NAME


def key_of(client):
    return client.cookies[COOKIE].value if COOKIE in client.cookies else ""


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


def by_signing_out(alice, client):
    client.post("/sign-out/")


def by_ending_it_elsewhere(alice, client):
    alice.signs_in(Client()).post("/account/sessions/end-others/")


def by_signing_in_anew(alice, client):
    client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})


def by_the_end_of_all(alice, client):
    end_all(alice.person, actor=alice.actor())


@operation
def end_all(person, *, actor):
    end_sessions_of(person.pk, actor=actor, at=clock.now())


@pytest.mark.parametrize("end", [by_signing_out, by_ending_it_elsewhere, by_signing_in_anew, by_the_end_of_all])
def test_a_session_that_ended_opens_nothing_when_its_row_is_put_back(end):
    alice = joined("alice")
    client = alice.signs_in()
    key, before = key_of(client), Session.objects.get()
    end(alice, client)
    assert not Session.objects.filter(pk=before.pk).exists()
    before.save(force_insert=True)
    thief = Client()
    thief.cookies[COOKIE] = key
    assert thief.get("/account/sessions/").status_code == 302
    assert not Session.objects.filter(pk=before.pk).exists()
    told = last_event("session.refused")
    assert (told["target"]["id"], told["details"]["person"]) == (session_name(before), str(alice.person.pk))


@pytest.mark.parametrize("end", [by_ending_it_elsewhere, by_the_end_of_all])
def test_a_row_that_was_put_back_is_told_of_as_that_also_when_it_is_ended_before_it_is_used(end):
    alice = joined("alice")
    client = alice.signs_in()
    before = Session.objects.get()
    by_the_end_of_all(alice, client)
    before.save(force_insert=True)
    end(alice, client)
    assert not Session.objects.filter(pk=before.pk).exists()
    about = AuditEvent.objects.filter(target_id=session_name(before)).oldest_first()
    assert list(about.values_list("action", flat=True)) == ["session.ended", "session.refused"]
    assert last_event("session.refused")["details"]["person"] == str(alice.person.pk)


def test_half_a_sign_in_that_ended_does_not_go_on_when_its_row_is_put_back():
    alice = joined("alice")
    client = Client()
    client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    before = Session.objects.get()
    end_all(alice.person, actor=alice.actor())
    before.save(force_insert=True)
    assert client.post("/sign-in/second-factor/", {"code": alice.code()})["location"].startswith("/sign-in/")
    assert not Session.objects.exists()
    assert last_event("session.refused")["reason"] == "put-back"


def test_the_database_names_sessions_as_the_log_does():
    joined("alice").signs_in()
    named = Session.objects.annotate(name_in_log=SessionName("pk")).get()
    assert named.name_in_log == session_name(named)
