"""Taking a place: a link that works once, a password, a first factor, recovery codes shown once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit import clock
from keys.crypto import otp
from keys.models import Invitation, Passkey, Person, RecoveryCode, TotpDevice
from keys.people import links
from keys.people.factors import seed_of
from keys.people.invitations import make_invitation_link, revoke_invitation
from tests.accounts import OPERATOR, PASSWORD, actions, invited, joined, last_event, token_of
from tests.authenticator import SoftAuthenticator
from tests.races import in_parallel

pytestmark = pytest.mark.usefixtures("committed_db")
NEW = {"new": PASSWORD, "again": PASSWORD}


def test_the_paths_of_links_are_the_paths_of_the_doors():
    token = "t" * 43
    assert links.PATHS[links.INVITATION].format(token=token) == reverse("invitation", args=[token])
    assert links.PATHS[links.PASSWORD_RESET].format(token=token) == reverse("password_reset", args=[token])


def test_from_the_link_to_the_landing_page_with_an_app():
    person, _, token = invited("alice")
    client = Client()
    page = client.get(f"/invitation/{token}/").content.decode()
    assert "Welcome, Alice" in page
    assert client.post(f"/invitation/{token}/", NEW)["location"] == "/account/set-up/"
    assert b"passkey" in client.get("/account/set-up/").content
    shown = client.post("/account/set-up/authenticator/").content.decode()
    device = TotpDevice.objects.get(user=person)
    seed = seed_of(device)
    assert otp.base32_text(seed).reveal() in shown
    assert "<svg" in shown
    assert " style=" not in shown
    wrong = client.post("/account/set-up/authenticator/confirm/", {"code": "000000"})
    assert wrong.status_code == 422
    code = otp.code_at(seed, otp.step_at(clock.now()))
    done = client.post("/account/set-up/authenticator/confirm/", {"code": code})
    assert done.status_code == 200
    assert "no-store" in done["Cache-Control"]
    codes = RecoveryCode.objects.filter(person=person)
    assert codes.count() == 10
    assert all(code.hashed.startswith("$argon2id$") for code in codes)
    assert client.get("/account/factors/").status_code == 200
    device.refresh_from_db()
    assert device.confirmed
    assert device.approves_from == device.confirmed_at, "the first factor, by invitation, may approve at once"
    assert not device.after_reset
    assert actions(target_type="totp-device") == ["totp.offered", "totp.enrolled"]
    assert "sign-in.completed" in actions()


def test_from_the_link_to_the_landing_page_with_a_passkey():
    person, _, token = invited("alice")
    client = Client()
    client.post(f"/invitation/{token}/", NEW)
    device = SoftAuthenticator()
    options = client.post("/account/passkey-options/").json()["publicKey"]
    assert options["attestation"] == "none"
    answer = client.post("/account/set-up/passkey/", {"name": "laptop", "credential": device.create(options)})
    assert answer.status_code == 200, answer.content.decode()
    passkey = Passkey.objects.get(user=person)
    event = last_event("passkey.enrolled")
    assert event["change"]["public_key"][1] == "\\x" + bytes(passkey.public_key).hex(), (
        "approvals verify from the log alone"
    )
    assert client.get("/account/factors/").status_code == 200


def test_a_registration_over_another_challenge_or_place_is_refused():
    _, _, token = invited("alice")
    client = Client()
    client.post(f"/invitation/{token}/", NEW)
    options = client.post("/account/passkey-options/").json()["publicKey"]
    answers = [
        SoftAuthenticator().create(options | {"challenge": "A" * 43}),
        SoftAuthenticator(origin="https://evil.example").create(options),
        SoftAuthenticator(rp_id="evil.example").create(options),
        "{}",
        "nonsense",
        "",
    ]
    for answer in answers:
        client.post("/account/passkey-options/")
        assert client.post("/account/set-up/passkey/", {"credential": answer}).status_code == 422
    assert not Passkey.objects.exists()


def test_a_passkey_that_does_not_verify_its_user_is_refused():
    _, _, token = invited("alice")
    client = Client()
    client.post(f"/invitation/{token}/", NEW)
    device = SoftAuthenticator()
    device.flags = 0x01
    options = client.post("/account/passkey-options/").json()["publicKey"]
    assert client.post("/account/set-up/passkey/", {"credential": device.create(options)}).status_code == 422


def test_a_link_works_once():
    _, _, token = invited("alice")
    Client().post(f"/invitation/{token}/", NEW)
    for method in ("get", "post"):
        answer = getattr(Client(), method)(f"/invitation/{token}/", NEW)
        assert answer.status_code == 410


def test_of_eight_parallel_uses_of_a_link_one_succeeds():
    person, _, token = invited("alice")

    def use(number):
        password = f"{PASSWORD} {number}"
        return Client().post(f"/invitation/{token}/", {"new": password, "again": password}).status_code

    answers = in_parallel(8, use)
    assert answers.count(302) == 1
    assert set(answers) <= {302, 422, 410, 503}
    assert actions(action="invitation.accepted") == ["invitation.accepted"]
    assert actions(action="password.chosen", target_id=str(person.pk)) == ["password.chosen"]


def test_a_newer_link_a_revocation_and_time_end_an_invitation():
    _, first, token = invited("alice")
    newer = token_of(make_invitation_link(first, actor=OPERATOR))
    assert Client().get(f"/invitation/{token}/").status_code == 410
    assert Client().get(f"/invitation/{newer}/").status_code == 200
    revoke_invitation(first, actor=OPERATOR)
    assert Client().get(f"/invitation/{newer}/").status_code == 410
    _, second, token = invited("bob")
    assert second.expires_at - second.created_at == timedelta(hours=72)
    assert not Invitation.objects.open(clock.now() + timedelta(hours=73)).filter(pk=second.pk).exists()


@pytest.mark.parametrize("token", ["x", "a" * 42, "a" * 43, "a" * 44, "%2e%2e", "é" * 43, "a" * 5000])
def test_a_made_up_link_is_over(token):
    assert Client().get(f"/invitation/{token}/").status_code in (404, 410)
    assert Client().get(f"/password-reset/{token}/").status_code in (404, 410)


def test_links_are_stored_as_keyed_hashes():
    _, _, token = invited("alice")
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(i::text, ' ') FROM keys_invitation i")
        assert token not in cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(convert_from(payload, 'UTF8'), ' ') FROM audit_event")
        assert token not in cursor.fetchone()[0]


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "password1234",
        "alice@example.com",
        "correct\x00horse battery",
        "correct\u202ehorse battery",
        "x" * 300,
    ],
)
def test_weak_or_odd_passwords_are_refused(password):
    person, _, token = invited("alice")
    answer = Client().post(f"/invitation/{token}/", {"new": password, "again": password})
    assert answer.status_code == (400 if "\0" in password else 422)
    assert not Person.objects.get(pk=person.pk).has_usable_password()
    assert Client().get(f"/invitation/{token}/").status_code == 200, "a refused password does not use up the link"


def test_two_different_passwords_are_refused():
    _, _, token = invited("alice")
    assert Client().post(f"/invitation/{token}/", NEW | {"again": "another one altogether"}).status_code == 422


def test_after_a_lost_connection_the_enrolment_goes_on_by_signing_in():
    person, _, token = invited("alice")
    Client().post(f"/invitation/{token}/", NEW)
    again = Client()
    answer = again.post("/sign-in/", {"email": person.email, "password": PASSWORD})
    assert answer["location"] == "/account/set-up/"
    assert again.get("/account/factors/").status_code == 302, "a password alone opens nothing else"


def test_a_password_without_a_factor_opens_nothing_when_the_hour_is_over(superuser):
    person, _, token = invited("alice")
    Client().post(f"/invitation/{token}/", NEW)
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("ALTER TABLE keys_invitation DISABLE TRIGGER ALL")
    superuser.execute("UPDATE keys_invitation SET accepted_at = accepted_at - interval '61 minutes'")
    superuser.execute("ALTER TABLE keys_invitation ENABLE TRIGGER ALL")
    answer = Client().post("/sign-in/", {"email": person.email, "password": PASSWORD})
    assert answer.status_code == 403
    assert b"A new invitation is needed" in answer.content


def test_nobody_enrols_without_an_invitation_or_for_another():
    alice = joined("alice")
    for path in (
        "/account/set-up/authenticator/",
        "/account/set-up/authenticator/confirm/",
        "/account/set-up/passkey/",
    ):
        assert Client().post(path).status_code == 302
        assert alice.signs_in(Client()).post(path).status_code == 302
    assert Client().post("/account/passkey-options/").status_code == 403
    assert TotpDevice.objects.filter(user=alice.person, removed_at=None).count() == 1


def test_the_session_that_enrols_can_do_nothing_else():
    _, _, token = invited("alice")
    client = Client()
    client.post(f"/invitation/{token}/", NEW)
    for path in ("/account/factors/", "/account/sessions/", "/account/delegates/", "/account/step-up/"):
        assert client.get(path).status_code == 302
    assert client.post("/sign-in/second-factor/", {"code": "123456"}).status_code == 302
    assert client.get("/account/sessions/").status_code == 302
