"""Stepping up: for one purpose, five minutes, a fresh session key; with a code or a passkey, inside any form."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth import get_user
from django.db import transaction
from django.test import Client, RequestFactory

from audit import clock
from audit.log import record
from keys.events import PasskeyEnrolled
from keys.models import Passkey, Session
from keys.people import session_table
from keys.people.factors import enrol_passkey
from keys.people.webauthn import read_registration, registration_options
from portal.accounts import step_up
from portal.accounts.session_store import SessionStore
from portal.actors import actor_of
from tests.accounts import OPERATOR, PASSWORD, actions, joined, last_event
from tests.authenticator import SoftAuthenticator
from tests.races import in_parallel

pytestmark = pytest.mark.usefixtures("committed_db")
COOKIE = settings.SESSION_COOKIE_NAME


def with_passkey(who, *, old_enough=True):
    """Enrol a passkey for somebody who has an app already."""
    device = SoftAuthenticator()
    challenge = b"c" * 32
    credential = read_registration(device.create(registration_options(who.person, challenge)), challenge)
    enrol_passkey(who.person, actor=who.actor("factors"), name="laptop", credential=credential)
    if old_enough:
        age_factor()
    return device


def age_factor():
    """Let the day pass after which an added factor decides, in the only way a test may: with its event."""
    with transaction.atomic():
        for row in Passkey.objects.all():
            Passkey.objects.filter(pk=row.pk).update(approves_from=row.created_at)
            record(PasskeyEnrolled(target_id=str(row.pk), person=str(row.user_id)), actor=OPERATOR, at=clock.now())


def steps():
    return {step["purpose"]: step["method"] for step in Session.objects.get(person__isnull=False).step_ups}


def test_a_code_steps_up_for_one_purpose_and_changes_the_session_key():
    alice = joined("alice")
    client = alice.signs_in()
    before = client.cookies[COOKIE].value
    answer = client.post("/account/step-up/", {"purpose": "claim", "next": "/keys/1/", "code": alice.code()})
    assert answer.status_code == 302
    assert answer["location"] == "/keys/1/"
    assert steps() == {"claim": "totp"}
    assert client.cookies[COOKIE].value != before
    thief = Client()
    thief.cookies[COOKIE] = before
    assert thief.get("/account/sessions/").status_code == 302
    event = last_event("step-up.completed")
    assert event["details"] | {"device": ""} == {"purpose": "claim", "method": "totp", "device": ""}


def test_a_step_up_for_one_purpose_does_not_serve_another():
    alice = joined("alice")
    client = alice.signs_in()
    client.post("/account/step-up/", {"purpose": "claim", "code": alice.code()})
    answer = client.post("/account/factors/recovery-codes/")
    assert answer.status_code == 403
    assert last_event("access.denied")["details"]["rule"] == "step-up"


def test_a_step_up_lapses_after_five_minutes():
    alice = joined("alice")
    client = alice.signs_in()
    client.post("/account/step-up/", {"purpose": "factors", "code": alice.code()})
    assert client.post("/account/factors/recovery-codes/").status_code == 200
    old = (clock.now() - timedelta(minutes=5, seconds=1)).isoformat()
    Session.objects.update(step_ups=[{"purpose": "factors", "method": "totp", "at": old}])
    assert client.post("/account/factors/recovery-codes/").status_code == 403


def test_the_code_that_signed_in_does_not_step_up():
    alice = joined("alice")
    alice.client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    code = alice.code()
    alice.client.post("/sign-in/second-factor/", {"code": code})
    answer = alice.client.post("/account/step-up/", {"purpose": "claim", "code": code})
    assert answer.status_code == 422
    assert last_event("second-factor.refused")["reason"] == "used"


def test_an_unknown_purpose_asks_which_one():
    client = joined("alice").signs_in()
    assert b"What do you want to do?" in client.get("/account/step-up/?purpose=everything").content
    assert client.post("/account/step-up/everything/passkey-options/").status_code == 404


def test_a_passkey_steps_up_over_a_challenge_that_works_once():
    alice = joined("alice")
    device = with_passkey(alice)
    client = alice.signs_in()
    options = client.post("/account/step-up/approve/passkey-options/").json()["publicKey"]
    signed = device.get(options)
    first = client.post("/account/step-up/", {"purpose": "approve", "assertion": signed})
    assert first.status_code == 302, first.content.decode()
    assert steps() == {"approve": "passkey"}
    Session.objects.update(step_ups=[])
    assert client.post("/account/step-up/", {"purpose": "approve", "assertion": signed}).status_code == 422


def test_a_challenge_for_one_purpose_does_not_serve_another():
    alice = joined("alice")
    device = with_passkey(alice)
    client = alice.signs_in()
    options = client.post("/account/step-up/claim/passkey-options/").json()["publicKey"]
    assert client.post("/account/step-up/", {"purpose": "approve", "assertion": device.get(options)}).status_code == 422


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "https://evil.example"},
        {"type": "webauthn.create"},
        {"crossOrigin": True},
        {"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    ],
)
def test_a_signature_for_another_place_or_challenge_is_refused(changes):
    alice = joined("alice")
    device = with_passkey(alice)
    client = alice.signs_in()
    options = client.post("/account/step-up/claim/passkey-options/").json()["publicKey"]
    answer = client.post("/account/step-up/", {"purpose": "claim", "assertion": device.get(options, **changes)})
    assert answer.status_code == 422


def test_a_signature_without_user_verification_is_refused():
    alice = joined("alice")
    device = with_passkey(alice)
    device.flags = 0x01
    client = alice.signs_in()
    options = client.post("/account/step-up/claim/passkey-options/").json()["publicKey"]
    assert client.post("/account/step-up/", {"purpose": "claim", "assertion": device.get(options)}).status_code == 422


def test_a_counter_that_goes_back_is_told_as_a_possible_copy():
    alice = joined("alice")
    device = with_passkey(alice)
    client = alice.signs_in()
    for _ in range(2):
        options = client.post("/account/step-up/claim/passkey-options/").json()["publicKey"]
        client.post("/account/step-up/", {"purpose": "claim", "assertion": device.get(options)})
        Session.objects.update(step_ups=[])
    device.sign_count = 0
    options = client.post("/account/step-up/claim/passkey-options/").json()["publicKey"]
    assert client.post("/account/step-up/", {"purpose": "claim", "assertion": device.get(options)}).status_code == 422
    assert actions(action="passkey.clone-suspected") == ["passkey.clone-suspected"]


def test_mallorys_passkey_does_not_step_up_for_alice():
    alice, mallory = joined("alice"), joined("mallory")
    with_passkey(alice)
    hers = with_passkey(mallory)
    client = alice.signs_in()
    options = client.post("/account/step-up/claim/passkey-options/").json()["publicKey"]
    assert client.post("/account/step-up/", {"purpose": "claim", "assertion": hers.get(options)}).status_code == 422


@pytest.mark.parametrize(
    "answer", ["{}", "[]", "null", "not json", '{"id":1}', '{"a":1,"a":2}', "[" * 50, "x" * 40_000, '{"id":"\\u0000"}']
)
def test_what_is_no_assertion_is_refused_without_a_server_error(answer):
    alice = joined("alice")
    client = alice.signs_in()
    client.post("/account/step-up/claim/passkey-options/")
    assert client.post("/account/step-up/", {"purpose": "claim", "assertion": answer}).status_code == 422


def test_a_factor_added_today_signs_in_but_does_not_approve():
    alice = joined("alice")
    device = with_passkey(alice, old_enough=False)
    client = Client()
    client.post("/sign-in/", {"email": alice.person.email, "password": PASSWORD})
    options = client.post("/sign-in/passkey-options/").json()["publicKey"]
    assert client.post("/sign-in/second-factor/", {"assertion": device.get(options)}).status_code == 302
    assert last_event("sign-in.completed")["details"]["assurance"] == "phishing-resistant"
    options = client.post("/account/step-up/claim/passkey-options/").json()["publicKey"]
    assert client.post("/account/step-up/", {"purpose": "claim", "assertion": device.get(options)}).status_code == 302
    options = client.post("/account/step-up/approve/passkey-options/").json()["publicKey"]
    answer = client.post("/account/step-up/", {"purpose": "approve", "assertion": device.get(options)})
    assert answer.status_code == 422
    assert b"younger than 24 hours" in answer.content


def test_of_two_parallel_takers_of_a_challenge_one_gets_it():
    alice = joined("alice")
    alice.signs_in()
    row = Session.objects.get(person=alice.person)
    session_table.put_challenge(row, "claim")
    taken = in_parallel(8, lambda _: session_table.take_challenge(row, "claim"))
    assert len([each for each in taken if each]) == 1


def request_of(client, **form):
    http = RequestFactory().post("/keys/1/revoke/", form)
    http.session = SessionStore(client.cookies[COOKIE].value)
    http.user = get_user(http)
    return http


def test_any_form_can_carry_the_step_up():
    alice = joined("alice")
    client = alice.signs_in()
    refused = step_up.confirm(request_of(client), "revoke")
    assert refused is not None
    assert refused.code == "missing"
    http = request_of(client, code=alice.code())
    assert step_up.confirm(http, "revoke") is None
    assert [step.purpose for step in actor_of(http).auth.step_ups] == ["revoke"]
    assert step_up.confirm(http, "revoke") is None, "five minutes are not over"
    assert step_up.fields(http, "revoke").is_fresh


def test_the_block_of_a_form_shows_what_the_person_has():
    alice = joined("alice")
    with_passkey(alice)
    client = alice.signs_in()
    page = client.get("/account/step-up/?purpose=revoke").content.decode()
    assert 'data-passkey="get"' in page
    assert 'name="code"' in page
    assert "revoke a key" in page
    assert "<script>" not in page
    assert " style=" not in page


def test_options_name_only_living_passkeys_of_that_person():
    alice, bob = joined("alice"), joined("bob")
    with_passkey(alice)
    with_passkey(bob)
    client = alice.signs_in()
    offer = client.post("/account/step-up/claim/passkey-options/").json()
    assert len(offer["publicKey"]["allowCredentials"]) == 1
    assert offer["publicKey"]["userVerification"] == "required"
    assert offer["publicKey"]["rpId"] == "localhost"
