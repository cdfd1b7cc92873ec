"""Factors are reset by two administrators, and what is enrolled afterwards waits a day."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from audit import clock
from audit.actor import Actor
from keys.crypto import otp
from keys.errors import Conflict, Denied, Invalid
from keys.models import FactorReset, Invitation, TotpDevice
from keys.people.factors import confirm_totp, enrol_totp, is_settled, seed_of
from keys.people.invitations import accept_invitation, invite_again, make_invitation_link
from keys.people.resets import confirm_factor_reset, decline_factor_reset, propose_factor_reset
from tests.accounts import OPERATOR, PASSWORD, actions, invited, joined, self_of, token_of

pytestmark = pytest.mark.usefixtures("committed_db")

REASON = "lost the phone in a taxi"


def test_two_administrators_reset_factors_and_the_new_one_waits_a_day():
    one, two, alice = joined("one", ["administrator"]), joined("two", ["administrator"]), joined("alice")
    client = alice.signs_in()
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    with pytest.raises(Denied):
        confirm_factor_reset(proposal, actor=one.actor("people"))
    assert client.get("/account/sessions/").status_code == 200, "a proposal changes nothing"
    confirm_factor_reset(proposal, actor=two.actor("people"))
    assert client.get("/account/sessions/").status_code == 302
    assert not TotpDevice.objects.usable().filter(user=alice.person).exists()
    invitation = Invitation.objects.unused().get(person=alice.person)
    assert invitation.purpose == "factors"
    token = token_of(make_invitation_link(invitation, actor=Actor.job("sender")))
    fresh = Client()
    assert fresh.post(f"/invitation/{token}/", {"password": "wrong wrong wrong"}).status_code == 422
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(a::text, ' ') FROM axes_accessattempt a")
        kept = cursor.fetchone()[0]
    assert token not in kept
    assert "wrong wrong" not in kept
    assert fresh.post(f"/invitation/{token}/", {"password": PASSWORD})["location"] == "/account/set-up/"
    fresh.post("/account/set-up/authenticator/")
    device = TotpDevice.objects.get(user=alice.person, confirmed=False, removed_at=None)
    code = otp.code_at(seed_of(device), otp.step_at(clock.now()))
    assert fresh.post("/account/set-up/authenticator/confirm/", {"code": code}).status_code == 200
    device.refresh_from_db()
    assert device.after_reset
    assert device.approves_from - device.confirmed_at == timedelta(hours=24)
    assert not is_settled(f"totp:{device.pk}", at=clock.now())
    assert is_settled(f"totp:{device.pk}", at=clock.now() + timedelta(hours=25))
    assert actions(target_type="factor-reset") == ["factor-reset.proposed", "factor-reset.confirmed"]


def test_one_administrator_alone_opens_no_place_whose_factors_were_reset():
    one, two, alice = joined("one", ["administrator"]), joined("two", ["administrator"]), joined("alice")
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    confirm_factor_reset(proposal, actor=two.actor("people"))
    invitation = invite_again(alice.person, actor=one.actor("people"))
    assert invitation.purpose == "factors"
    token = token_of(make_invitation_link(invitation, actor=one.actor("people")))
    with pytest.raises(Invalid):
        accept_invitation(invitation, token, actor=self_of(alice.person), password="chosen by an administrator")
    new = "chosen by an administrator"
    assert Client().post(f"/invitation/{token}/", {"new": new, "again": new}).status_code == 422
    alice.person.refresh_from_db()
    assert alice.person.check_password(PASSWORD)
    accept_invitation(invitation, token, actor=self_of(alice.person), password=PASSWORD)


def test_whoever_chose_a_password_and_enrolled_no_factor_proves_it_when_invited_again():
    person, invitation, token = invited("bob")
    accept_invitation(invitation, token, actor=self_of(person), password=PASSWORD)
    assert invite_again(person, actor=OPERATOR).purpose == "factors"


def test_neither_the_person_nor_a_bystander_confirms_a_reset_but_the_person_may_stop_it():
    one, alice, mallory = joined("one", ["administrator"]), joined("alice", ["administrator"]), joined("mallory")
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    for who in (alice, mallory):
        with pytest.raises(Denied):
            confirm_factor_reset(proposal, actor=who.actor("people"))
    with pytest.raises(Denied):
        decline_factor_reset(proposal, actor=mallory.actor("people"))
    decline_factor_reset(proposal, actor=alice.actor())
    with pytest.raises(Conflict):
        confirm_factor_reset(FactorReset.objects.get(), actor=joined("two", ["administrator"]).actor("people"))
    assert TotpDevice.objects.usable().filter(user=alice.person).exists()


def test_an_administrator_with_a_factor_of_today_does_not_confirm_a_reset():
    one, two, alice = joined("one", ["administrator"]), joined("two", ["administrator"]), joined("alice")
    proposal = propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    added = enrol_totp(two.person, actor=two.actor("factors"), name="new")
    code = otp.code_at(seed_of(added), otp.step_at(clock.now()))
    two.device = confirm_totp(added, actor=two.actor("factors"), code=code)
    with pytest.raises(Denied) as denied:
        confirm_factor_reset(proposal, actor=two.actor("people"))
    assert denied.value.code == "factor_too_new"


def test_one_proposal_a_person_at_a_time_and_a_reason_is_needed():
    one, alice = joined("one", ["administrator"]), joined("alice")
    with pytest.raises(Invalid):
        propose_factor_reset(alice.person, actor=one.actor("people"), reason="")
    propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    with pytest.raises(Conflict):
        propose_factor_reset(alice.person, actor=one.actor("people"), reason=REASON)
    with pytest.raises(Denied):
        propose_factor_reset(one.person, actor=one.actor("people"), reason=REASON)
