"""Stop keys through the pages, hand them over, and say that one leaked by one button."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from audit.models import AuditEvent
from keys.models import KeyTransfer
from tests.people import World, acting, issued

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def test_a_key_is_revoked_with_a_reason_and_a_typed_word(world: World, as_: Browser) -> None:
    key, version, _ = issued(world)
    alice = as_("alice", "revoke")
    page = f"/keys/{key.number}/revoke/"
    assert "Living versions" in alice.get(page).content.decode()
    wrong = alice.post(page, {"reason": "superseded", "phrase": "KEY-1"})
    assert wrong.status_code == 422
    assert "This is not the text to type." in wrong.content.decode()
    assert 'value="superseded" class="form-check-input' in wrong.content.decode() or "checked" in wrong.content.decode()
    assert alice.post(page, {"reason": "no-idea", "phrase": str(key)}).status_code == 422
    done = alice.post(page, {"reason": "superseded", "phrase": f" {key} "}, follow=True)
    assert "Revoked for good" in done.content.decode()
    version.refresh_from_db()
    assert (version.state, version.ended_reason) == ("deactivated", "superseded")
    assert alice.post(page, {"reason": "superseded", "phrase": str(key)}).status_code == 409


def test_a_missing_confirmation_is_told_with_the_other_mistakes(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    page, missing = f"/keys/{key.number}/revoke/", "Confirm with your second factor that it is you."
    refused = as_("alice").post(page, {"phrase": "KEY-1"})
    assert refused.status_code == 422
    assert list(refused.context["form"].errors) == ["reason", "phrase"]
    assert missing in refused.content.decode()
    assert missing not in as_("alice", "revoke").post(page, {"phrase": "KEY-1"}).content.decode(), "they just did"
    tried = as_("alice").post(page, {"phrase": "KEY-1", "code": "000000"}).content.decode()
    assert missing not in tried, "given, and not looked at: a code works once"
    assert not AuditEvent.objects.filter(action__startswith="second-factor.").exists()


@pytest.mark.parametrize("who", ["admin", "responder", "anna"])
def test_those_who_answer_for_keys_suspend_them(world: World, as_: Browser, who: str) -> None:
    key, version, _ = issued(world)
    as_(who, "suspend").post(f"/keys/{key.number}/suspend/", {"reason": "investigation"})
    version.refresh_from_db()
    assert version.state == "suspended"


@pytest.mark.parametrize("page", ["suspend", "revoke", "reinstate"])
@pytest.mark.parametrize("who", ["bob", "auditor"])
def test_those_who_may_only_look_are_told_so(world: World, as_: Browser, who: str, page: str) -> None:
    key, _, _ = issued(world)
    browser = as_(who, page)
    assert browser.get(f"/keys/{key.number}/{page}/").status_code == 403
    shown = browser.get(f"/keys/{key.number}/").content.decode()
    assert f"/keys/{key.number}/{page}/" not in shown
    assert "It leaked" not in shown


def test_who_suspended_a_production_key_is_told_that_another_reinstates_it(world: World, as_: Browser) -> None:
    key, version, _ = issued(world)
    alice = as_("alice", "suspend", "reinstate")
    alice.post(f"/keys/{key.number}/suspend/", {"reason": "investigation"})
    page = alice.get(f"/keys/{key.number}/").content.decode()
    assert "You suspended this production key, so somebody else has to reinstate it." in page
    assert alice.post(f"/keys/{key.number}/reinstate/").status_code == 403
    assert as_("admin", "reinstate").post(f"/keys/{key.number}/reinstate/").status_code == 302
    version.refresh_from_db()
    assert version.state == "active"


def test_stopping_asks_for_presence_and_keeps_the_reason(world: World, as_: Browser) -> None:
    key, version, _ = issued(world)
    answer = as_("alice").post(f"/keys/{key.number}/suspend/", {"reason": "unused", "code": "000000"})
    assert answer.status_code == 422
    assert answer.context["form"]["reason"].value() == "unused"
    version.refresh_from_db()
    assert version.state == "active"


def test_it_leaked_is_one_button_and_a_new_version_is_offered(world: World, as_: Browser) -> None:
    key, version, _ = issued(world)
    alice = as_("alice")
    answer = alice.post(f"/keys/{key.number}/leak/", follow=True)
    page = answer.content.decode()
    assert "Thank you: it is stopped" in page
    assert f"/keys/{key.number}/replace/" in page
    version.refresh_from_db()
    assert (version.state, version.suspended_reason) == ("suspended", "leak-reported")
    life = alice.get(f"/keys/{key.number}/?view=life").content.decode()
    assert "Leak reported" in life
    assert "a leak was reported" in life


def test_a_key_goes_to_another_team_when_both_sides_agree(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    alice = as_("alice", "handover")
    offer = {"to_team": "wallets", "comment": "Yours from now on."}
    assert alice.post(f"/keys/{key.number}/hand-over/", offer).status_code == 302
    assert alice.post(f"/keys/{key.number}/hand-over/", offer).status_code == 409
    mallory = as_("mallory", "handover")
    page = mallory.get(f"/keys/{key.number}/transfer/").content.decode()
    assert "Yours from now on." in page
    assert mallory.get(f"/keys/{key.number}/").status_code == 404
    missing = mallory.post(f"/keys/{key.number}/transfer/", {"answer": "accept"})
    assert missing.status_code == 422
    stranger = mallory.post(f"/keys/{key.number}/transfer/", {"answer": "accept", "recipient": str(world.bob.pk)})
    assert stranger.status_code == 422
    taken = mallory.post(f"/keys/{key.number}/transfer/", {"answer": "accept", "recipient": str(world.mallory.pk)})
    assert taken["Location"] == f"/keys/{key.number}/"
    key.refresh_from_db()
    assert (key.owner_team, key.recipient) == (world.other, world.mallory)
    assert "To Wallets" in mallory.get(f"/keys/{key.number}/?view=life").content.decode()


@pytest.mark.parametrize(
    ("who", "answer", "outcome"), [("mallory", "decline", "declined"), ("alice", "withdraw", "withdrawn")]
)
def test_an_offer_is_declined_or_taken_back(world: World, as_: Browser, who: str, answer: str, outcome: str) -> None:
    key, _, _ = issued(world)
    as_("alice", "handover").post(f"/keys/{key.number}/hand-over/", {"to_team": "wallets", "comment": ""})
    assert as_(who, "handover").post(f"/keys/{key.number}/transfer/", {"answer": answer}).status_code == 302
    assert KeyTransfer.objects.get().outcome == outcome
    assert as_(who).get(f"/keys/{key.number}/transfer/").status_code == 404


def test_an_offer_to_others_does_not_exist_for_strangers(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    from keys.lifecycle.handover import offer_transfer

    offer_transfer(key, to_team=world.security, actor=acting(world.alice, "handover"))
    assert as_("mallory").get(f"/keys/{key.number}/transfer/").status_code == 404
    shown = as_("carol").get(f"/keys/{key.number}/transfer/")
    assert "Only a lead of the receiving team can answer." in shown.content.decode()


@pytest.mark.parametrize("answer", ["", "nonsense", "accept"])
def test_an_odd_answer_changes_nothing(world: World, as_: Browser, answer: str) -> None:
    key, _, _ = issued(world)
    as_("alice", "handover").post(f"/keys/{key.number}/hand-over/", {"to_team": "wallets", "comment": ""})
    before = AuditEvent.objects.count()
    assert as_("mallory", "handover").post(f"/keys/{key.number}/transfer/", {"answer": answer}).status_code == 422
    assert AuditEvent.objects.count() == before
