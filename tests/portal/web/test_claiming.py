"""A secret is in one answer to one POST, and nowhere else that lasts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client

from audit.models import AuditEvent
from keys.models import KeyVersion, Session
from tests.people import World, acting, approved, issued

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]
SECRET = re.compile(r"ks_prod_[0-9A-Za-z]{12,16}_[0-9A-Za-z]{49,}")


def claim(browser: Client, number: int, version: int = 1) -> object:
    return browser.post(f"/keys/{number}/claim/", {"version": str(version)})


def test_the_secret_is_shown_once_and_never_stored(world: World, as_: Browser) -> None:
    key = approved(world)
    alice = as_("alice", "claim")
    assert not SECRET.search(alice.get(f"/keys/{key.number}/claim/").content.decode())
    answer = claim(alice, key.number)
    page = answer.content.decode()
    (secret,) = set(SECRET.findall(page))
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store, private"
    assert page.count(secret) == 1
    assert "ORDERS_API_KEY" in page
    assert all(secret not in row.content for row in Session.objects.all())
    for path in ("", "claim/", "?view=life", "?view=use"):
        assert secret not in alice.get(f"/keys/{key.number}/{path}").content.decode()


def test_a_repeat_from_the_same_session_is_gone_and_on_record(world: World, as_: Browser) -> None:
    key = approved(world)
    alice = as_("alice", "claim")
    claim(alice, key.number)
    again = claim(alice, key.number)
    assert again.status_code == 410
    assert "It was shown already" in again.content.decode()
    assert not SECRET.search(again.content.decode())
    assert AuditEvent.objects.filter(action="version.claim-repeated").count() == 1
    assert KeyVersion.objects.get().state == "active"


def test_another_session_suspends_the_version_and_the_page_says_so(world: World, as_: Browser) -> None:
    key = approved(world)
    claim(as_("alice", "claim"), key.number)
    other = claim(as_("alice", "claim"), key.number)
    assert other.status_code == 410
    assert "Suspended: it was claimed before" in other.content.decode()
    assert KeyVersion.objects.get().state == "suspended"


def test_without_presence_nothing_is_handed_over(world: World, as_: Browser) -> None:
    key = approved(world)
    answer = as_("alice").post(f"/keys/{key.number}/claim/", {"version": "1", "code": "000000"})
    assert answer.status_code == 422
    assert KeyVersion.objects.get().state == "pre-activation"


@pytest.mark.parametrize("who", ["anna", "bob", "admin", "responder"])
def test_nobody_but_the_recipient_claims(world: World, as_: Browser, who: str) -> None:
    key = approved(world)
    for answer in (as_(who, "claim").get(f"/keys/{key.number}/claim/"), claim(as_(who, "claim"), key.number)):
        assert answer.status_code == 403
        assert "The secret goes to one person only" in answer.content.decode()
    assert KeyVersion.objects.get().claimed_at is None


def test_a_lost_secret_is_replaced_by_a_new_version(world: World, as_: Browser) -> None:
    key, _, first = issued(world)
    alice = as_("alice", "claim")
    assert alice.post(f"/keys/{key.number}/replace/")["Location"] == f"/keys/{key.number}/claim/"
    answer = claim(alice, key.number, version=2)
    (second,) = set(SECRET.findall(answer.content.decode()))
    assert second != first.reveal()
    assert list(key.versions.order_by("sequence").values_list("state", flat=True)) == ["active", "active"]
    assert key.versions.get(sequence=1).retire_at is not None


def test_a_form_that_was_open_for_the_old_version_does_not_take_the_new_one(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    from keys.lifecycle.rotation import issue_new_version

    issue_new_version(key, actor=acting(world.alice, "claim"))
    answer = claim(as_("alice", "claim"), key.number, version=1)
    assert answer.status_code == 410
    assert key.versions.get(sequence=2).claimed_at is None


@pytest.mark.parametrize("version", ["", "x", "-1", "99", "9" * 30])
def test_an_odd_version_means_the_newest(world: World, as_: Browser, version: str) -> None:
    key = approved(world)
    answer = as_("alice", "claim").post(f"/keys/{key.number}/claim/", {"version": version})
    assert answer.status_code == 200


def test_a_get_after_the_claim_offers_a_new_version_and_no_form(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    page = as_("alice", "claim").get(f"/keys/{key.number}/claim/").content.decode()
    assert "It was claimed already" in page
    assert 'name="version"' not in page
