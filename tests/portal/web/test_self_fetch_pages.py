"""Ask on a page that a client may fetch its next secrets; see what it fetched; take that back; name another recipient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from keys.lifecycle.fetching import activate_fetched, fetch_next
from keys.models import KeyRequest, KeyVersion, ManagedKey, Rotation
from tests.fetching import INSIDE, TOKEN, client_of, due, fetching, let_clients_fetch
from tests.people import World, acting, issued, submitted
from tests.portal.web.test_asking import PRODUCTION, wish

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def _fetched(world: World) -> tuple[ManagedKey, KeyVersion]:
    key, old, _ = fetching(world)
    due(world, key)
    return key, fetch_next(old, token=TOKEN, address=INSIDE, actor=client_of(key)).version


def test_the_choice_is_offered_where_the_policy_allows_it_and_explained_where_not(world: World, as_: Browser) -> None:
    alice = as_("alice")
    page = alice.get(PRODUCTION).content.decode()
    assert 'name="self_fetch"' not in page
    assert "The policy does not let clients fetch their next secrets themselves" in page
    let_clients_fetch(world)
    assert 'name="self_fetch"' in alice.get(PRODUCTION).content.decode()
    page = alice.post(PRODUCTION, wish(world, self_fetch="on", networks=""))
    assert page.status_code == 422
    assert "Name the networks of the client first" in page.content.decode()
    alice.post(PRODUCTION, wish(world, self_fetch="on"))
    assert KeyRequest.objects.get().content["self_fetch"] is True


def test_a_forbidden_choice_is_not_smuggled_in(world: World, as_: Browser) -> None:
    as_("alice").post(PRODUCTION, wish(world, self_fetch="on"))
    assert KeyRequest.objects.get().content["self_fetch"] is False


def test_approvers_see_it_and_look_twice(world: World, as_: Browser) -> None:
    let_clients_fetch(world)
    asked = submitted(world, self_fetch=True, networks=("10.0.0.0/8",))
    page = as_("bob").get(f"/requests/{asked.number}/").content.decode()
    assert "It may fetch its own next version." in page
    assert "the client fetches them itself, with the old one, from these networks" in page


def test_what_the_client_fetched_is_shown_and_not_offered_to_claim(world: World, as_: Browser) -> None:
    key, _ = _fetched(world)
    alice = as_("alice")
    page = alice.get(f"/keys/{key.number}/").content.decode()
    assert "Its client fetched the next secret" in page
    assert f"/keys/{key.number}/claim/" not in page
    assert "Claim the secret" not in alice.get("/").content.decode()
    page = alice.get(f"/keys/{key.number}/rotation/").content.decode()
    assert "Fetched, not in use" in page
    assert f"/keys/{key.number}/rotation/take-back/" in page
    page = alice.get(f"/keys/{key.number}/claim/").content.decode()
    assert "The client fetched it itself" in page


def test_it_is_taken_back_with_presence_by_those_who_may(world: World, as_: Browser) -> None:
    key, fetched = _fetched(world)
    place = f"/keys/{key.number}/rotation/take-back/"
    assert as_("mallory", "claim").get(place).status_code == 404
    assert as_("bob", "claim").get(place).status_code == 403
    assert as_("anna").post(place, {"phrase": str(key)}).status_code in {403, 422}
    anna = as_("anna", "claim")
    assert anna.get(place).status_code == 200
    answer = anna.post(place, {"phrase": str(key)})
    assert answer["Location"] == f"/keys/{key.number}/rotation/"
    assert Rotation.objects.open().get().state == "prepared"
    fetched.refresh_from_db()
    assert fetched.state == "deactivated"
    assert anna.post(place, {"phrase": str(key)}).status_code == 409
    assert "Claim the secret" in as_("alice").get(f"/keys/{key.number}/").content.decode()


def test_a_version_that_its_client_took_names_no_person(world: World, as_: Browser) -> None:
    key, fetched = _fetched(world)
    activate_fetched(fetched, address=INSIDE, actor=client_of(key))
    page = as_("alice").get(f"/keys/{key.number}/").content.decode()
    assert "by its client" in page
    life = as_("alice").get(f"/keys/{key.number}/?view=life").content.decode()
    assert "works: its client has it" in life


def test_the_page_of_a_key_leads_to_another_recipient(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    place = f"/keys/{key.number}/recipient/"
    assert place in as_("alice").get(f"/keys/{key.number}/").content.decode()
    assert place not in as_("anna").get(f"/keys/{key.number}/").content.decode()
    as_("alice", "handover").post(place, {"recipient": str(world.anna.pk)})
    key.refresh_from_db()
    assert key.recipient_id == world.anna.pk
    assert acting(world.anna).id == str(key.recipient_id)


def test_whoever_rotates_a_key_whose_client_fetches_is_not_led_to_claim_it(world: World, as_: Browser) -> None:
    key, _, _ = fetching(world)
    answer = as_("alice", "claim").post(f"/keys/{key.number}/rotate/", {"overlap": "1h"})
    assert (answer.status_code, answer["Location"]) == (302, f"/keys/{key.number}/rotation/")
