"""The pages about oneself: Alice sees and changes her own, Bob his, Mallory nothing of theirs."""

from datetime import timedelta

import pytest
from django.test import Client

from audit import clock
from keys.crypto import otp
from keys.errors import Denied
from keys.models import Delegation, Passkey, PasswordReset, Person, RecoveryCode, Session, TotpDevice
from keys.people.factors import seed_of
from keys.people.passwords import change_password, make_reset_link
from tests.accounts import BROWSER, OPERATOR, PASSWORD, actions, joined, last_event, plain, token_of
from tests.authenticator import SoftAuthenticator
from tests.devices import asks
from tests.devices import token_of as device_of

pytestmark = pytest.mark.usefixtures("committed_db")


def stepped_up(who, purpose="factors"):
    client = who.signs_in()
    answer = client.post("/account/step-up/", {"purpose": purpose, "code": who.code()})
    assert answer.status_code == 302
    return client


# --- sessions


def test_people_see_and_end_their_own_sessions():
    alice = joined("alice")
    here, there = alice.signs_in(), alice.signs_in(Client(headers={"user-agent": "Old phone"}))
    page = here.get("/account/sessions/").content.decode()
    assert "Old phone" in page
    assert "Firefox 140 on Linux" in page
    other = Session.objects.get(user_agent="Old phone")
    assert here.post(f"/account/sessions/{other.pk}/end/").status_code == 302
    assert there.get("/account/sessions/").status_code == 302
    assert here.get("/account/sessions/").status_code == 200
    assert last_event("session.ended")["reason"] == "ended-by-owner"


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def test_browsers_and_ways_to_sign_in_are_told_in_words():
    alice = joined("alice")
    alice.signs_in(Client(headers={"user-agent": "probe/1"}))
    page = alice.signs_in(Client(headers={"user-agent": FIREFOX})).get("/account/sessions/").content.decode()
    assert f'<span title="{FIREFOX}">Firefox on Linux</span>' in page
    assert "An unknown program" in page
    assert "probe/1" in page
    assert "a password + a code from an app" in page
    assert "totp" not in page


def test_ending_all_others_keeps_this_one():
    alice = joined("alice")
    here = alice.signs_in()
    others = [alice.signs_in(Client()) for _ in range(2)]
    here.post("/account/sessions/end-others/")
    assert here.get("/account/sessions/").status_code == 200
    assert all(other.get("/account/sessions/").status_code == 302 for other in others)


def test_somebody_elses_session_does_not_exist():
    alice, mallory = joined("alice"), joined("mallory")
    hers, client = alice.signs_in(), mallory.signs_in()
    target = Session.objects.get(person=alice.person)
    answer = client.post(f"/account/sessions/{target.pk}/end/")
    assert answer.status_code == 404
    assert hers.get("/account/sessions/").status_code == 200
    assert "Alice" not in client.get("/account/sessions/").content.decode()


# --- factors


def test_a_second_factor_is_added_with_presence_and_approves_a_day_later():
    alice = joined("alice")
    client = stepped_up(alice)
    options = client.post("/account/passkey-options/").json()["publicKey"]
    answer = client.post(
        "/account/factors/passkey/", {"name": "laptop", "credential": SoftAuthenticator().create(options)}
    )
    assert answer.status_code == 302, answer.content.decode()
    passkey = Passkey.objects.get()
    assert passkey.approves_from - passkey.created_at == timedelta(hours=24)
    assert b"laptop" in client.get("/account/factors/").content


def test_another_app_is_added_and_the_old_one_removed_but_never_the_last():
    alice = joined("alice")
    client = stepped_up(alice)
    assert client.post(f"/account/factors/totp/{alice.device.pk}/remove/").status_code == 403
    assert client.post("/account/factors/authenticator/", {"name": "new phone"}).status_code == 200
    added = TotpDevice.objects.get(confirmed=False)
    code = otp.code_at(seed_of(added), otp.step_at(clock.now()))
    assert client.post("/account/factors/authenticator/confirm/", {"code": code}).status_code == 302
    assert client.post(f"/account/factors/totp/{alice.device.pk}/remove/").status_code == 302
    assert client.post(f"/account/factors/totp/{added.pk}/remove/").status_code == 403
    assert actions(target_id=str(alice.device.pk))[-1] == "totp.removed"
    assert Client().post("/sign-in/", {"email": alice.person.email, "password": PASSWORD}).status_code == 302


def test_whoever_removes_a_factor_stays_and_all_else_that_is_signed_in_ends():
    """Somebody may have signed in with the phone that was lost, and allowed a machine."""
    alice = joined("alice")
    elsewhere = alice.signs_in(Client(headers={"user-agent": "Old phone"}))
    alice.person.refresh_from_db()
    token = device_of(alice.person)
    client = stepped_up(alice)
    client.post("/account/factors/authenticator/", {"name": "new phone"})
    added = TotpDevice.objects.get(confirmed=False)
    code = otp.code_at(seed_of(added), otp.step_at(clock.now()))
    client.post("/account/factors/authenticator/confirm/", {"code": code})
    assert (asks(token).status_code, elsewhere.get("/account/sessions/").status_code) == (200, 200), "adding ends none"
    before = len(actions(action="session.ended"))
    assert client.post(f"/account/factors/totp/{alice.device.pk}/remove/").status_code == 302
    assert asks(token).status_code == 401
    assert elsewhere.get("/account/sessions/").status_code == 302
    assert client.get("/account/sessions/").status_code == 200
    assert Session.objects.filter(person=alice.person).count() == 1
    assert len(actions(action="session.ended")) > before


def test_without_presence_no_factor_changes():
    alice = joined("alice")
    client = alice.signs_in()
    for path in ("/account/factors/authenticator/", "/account/factors/recovery-codes/"):
        assert client.post(path).status_code == 403
    assert RecoveryCode.objects.count() == 0
    assert len(actions(action="access.denied")) == 2


def test_somebody_elses_factor_does_not_exist():
    alice, mallory = joined("alice"), joined("mallory")
    client = stepped_up(mallory)
    assert client.post(f"/account/factors/totp/{alice.device.pk}/remove/").status_code == 404
    assert TotpDevice.objects.get(pk=alice.device.pk).removed_at is None


@pytest.mark.parametrize("name", ["x" * 65, "a\x00b", "a\u202eb", "a\nb"])
def test_odd_names_of_factors_are_refused(name):
    alice = joined("alice")
    client = stepped_up(alice)
    answer = client.post("/account/factors/authenticator/", {"name": name})
    assert answer.status_code == (400 if "\0" in name else 422)
    assert not TotpDevice.objects.filter(confirmed=False).exists()


def test_seed_and_codes_are_only_ever_in_the_answer_to_a_post():
    client = stepped_up(joined("alice"))
    for path in (
        "/account/factors/authenticator/",
        "/account/factors/recovery-codes/",
        "/account/set-up/authenticator/",
    ):
        assert client.get(path).status_code == 405


# --- delegates


def span(days=3):
    at = clock.now()
    return {"starts_at": f"{at:%Y-%m-%dT%H:%M}", "ends_at": f"{at + timedelta(days=days):%Y-%m-%dT%H:%M}"}


def test_alice_names_bob_and_either_may_end_it():
    alice, bob, mallory = joined("alice"), joined("bob"), joined("mallory")
    client = alice.signs_in()
    form = {"delegate": str(bob.person.pk), **span()}
    assert client.post("/account/delegates/", form).status_code == 422, "without presence nothing is named"
    assert client.post("/account/delegates/", form | {"code": alice.code()}).status_code == 302
    row = Delegation.objects.get()
    assert b"Bob" in client.get("/account/delegates/").content
    assert b"Alice" in bob.signs_in().get("/account/delegates/").content
    assert mallory.signs_in().post(f"/account/delegates/{row.pk}/end/").status_code == 404
    assert bob.client.post(f"/account/delegates/{row.pk}/end/").status_code == 302
    assert actions(target_type="delegation") == ["delegation.named", "delegation.ended"]


@pytest.mark.parametrize("days", [-1, 0, 61])
def test_a_delegation_needs_a_sensible_span(days):
    alice, bob = joined("alice"), joined("bob")
    client = stepped_up(alice, "people")
    answer = client.post("/account/delegates/", {"delegate": str(bob.person.pk), **span(days)})
    assert answer.status_code == 422
    assert not Delegation.objects.exists()


@pytest.mark.parametrize("delegate", ["", "nobody", "00000000-0000-0000-0000-000000000000", "\u202e"])
def test_a_delegate_must_be_a_colleague(delegate):
    alice = joined("alice")
    client = stepped_up(alice, "people")
    assert client.post("/account/delegates/", {"delegate": delegate, **span()}).status_code == 422
    assert client.post("/account/delegates/", {"delegate": str(alice.person.pk), **span()}).status_code == 422


# --- passwords


def test_changing_the_password_ends_other_sessions_and_keeps_this_one():
    alice = joined("alice")
    here, there = alice.signs_in(), alice.signs_in(Client())
    new = "an entirely different sentence"
    form = {"current": PASSWORD, "new": new, "again": new}
    assert here.post("/account/password/", form).status_code == 422, "without presence nothing changes"
    code = {"code": alice.code()}
    assert here.post("/account/password/", form | code | {"current": "wrong wrong wrong"}).status_code == 422
    assert here.post("/account/password/", form).status_code == 302
    assert here.get("/account/sessions/").status_code == 200
    assert there.get("/account/sessions/").status_code == 302
    assert Client().post("/sign-in/", {"email": alice.person.email, "password": new}).status_code == 302
    assert Client().post("/sign-in/", {"email": alice.person.email, "password": PASSWORD}).status_code == 422


def test_wrong_present_passwords_are_on_record_and_close_the_door():
    alice = joined("alice")
    client = stepped_up(alice)
    form = {"current": "wrong wrong wrong", "new": "an entirely different sentence"}
    form["again"] = form["new"]
    answers = [client.post("/account/password/", form).status_code for _ in range(11)]
    assert answers == [422] * 9 + [429] * 2
    assert client.post("/account/password/", form | {"current": PASSWORD}).status_code == 429
    assert actions(action="password.refused") == ["password.refused"] * 10
    assert last_event("password.refused")["reason"] == "locked"
    assert actions(action="password.changed") == []


def test_without_presence_the_rule_refuses_a_new_password():
    alice, mallory = joined("alice"), joined("mallory")
    for actor in (alice.actor(), alice.actor("approve"), mallory.actor("factors"), OPERATOR):
        with pytest.raises(Denied):
            change_password(alice.person, actor=actor, current=PASSWORD, new="an entirely different sentence")
    assert actions(action="access.denied") == ["access.denied"] * 4
    assert (
        change_password(
            alice.person, actor=alice.actor("factors"), current=PASSWORD, new="an entirely different sentence"
        )
        is None
    )


def test_a_forgotten_password_answers_everybody_alike():
    joined("alice")
    pages = {
        plain(Client(headers=BROWSER).post("/password-reset/", {"email": email}))
        for email in ("alice@example.com", "stranger@example.com", "no address")
    }
    assert len(pages) == 1
    assert actions(action="password.reset-requested") == ["password.reset-requested"]


def test_a_reset_signs_nobody_in_and_leaves_the_factors():
    alice = joined("alice")
    signed_in = alice.signs_in()
    Client().post("/password-reset/", {"email": alice.person.email})
    link = make_reset_link(PasswordReset.objects.get(), actor=OPERATOR)
    path = f"/password-reset/{token_of(link)}/"
    new = "an entirely different sentence"
    client = Client()
    assert client.get(path).status_code == 200
    assert client.post(path, {"new": "short", "again": "short"}).status_code == 422
    assert client.post(path, {"new": new, "again": new}).status_code == 200
    assert client.get("/account/sessions/").status_code == 302
    assert signed_in.get("/account/sessions/").status_code == 302
    assert TotpDevice.objects.get(pk=alice.device.pk).confirmed
    assert client.post(path, {"new": new, "again": new}).status_code == 410
    answer = client.post("/sign-in/", {"email": alice.person.email, "password": new})
    assert answer["location"] == "/sign-in/second-factor/"
    assert actions(target_id=str(alice.person.pk))[-1] == "password.reset-completed"


def test_a_second_wish_within_five_minutes_sends_no_second_mail_and_a_new_link_voids_the_old():
    alice = joined("alice")
    for _ in range(3):
        Client().post("/password-reset/", {"email": alice.person.email})
    reset = PasswordReset.objects.get()
    old = token_of(make_reset_link(reset, actor=OPERATOR))
    new = token_of(make_reset_link(reset, actor=OPERATOR))
    assert Client().get(f"/password-reset/{old}/").status_code == 410
    assert Client().get(f"/password-reset/{new}/").status_code == 200


def test_only_the_sender_makes_reset_links():
    alice = joined("alice")
    Client().post("/password-reset/", {"email": alice.person.email})
    with pytest.raises(Denied):
        make_reset_link(PasswordReset.objects.get(), actor=alice.actor("people"))


@pytest.mark.parametrize("email", ["", "a\x00b@example.com", "x" * 500, "a@b\r\nBcc: c@d"])
def test_odd_addresses_are_no_server_error(email):
    assert Client().post("/password-reset/", {"email": email}).status_code in (200, 400, 422)
    assert Person.objects.count() == 0
