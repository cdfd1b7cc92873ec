"""Stop many keys on one page: the list first, then a typed word and presence, then the receipt."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from audit.models import AuditEvent
from keys.lifecycle.emergency_lists import digest_of
from keys.models import ManagedKey, RevocationReceipt, Rotation
from tests.people import World, issued

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def confirmation(*keys: ManagedKey, **changed: str) -> dict[str, str]:
    numbers = [key.number for key in keys]
    return {
        "searched": "team=reporting",
        "listed": ",".join(map(str, numbers)),
        "digest": digest_of(numbers),
        "measure": "revoke",
        "reason": "key-compromise",
        "phrase": f"{len(numbers)} keys",
        **changed,
    }


def test_a_responder_stops_the_keys_of_a_team_and_keeps_the_receipt(world: World, as_: Browser) -> None:
    first, second = issued(world)[0], issued(world, name="Second")[0]
    responder = as_("responder", "revoke")
    assert "Which keys" in responder.get("/emergency/").content.decode()
    shown = responder.get("/emergency/?team=reporting").content.decode()
    assert digest_of([first.number, second.number]) in shown
    assert "Type 2 keys to confirm" in shown
    late = issued(world, name="Late")[0]
    done = responder.post("/emergency/", confirmation(first, second), follow=True)
    page = done.content.decode()
    assert "Stopped: 2" in page
    assert "There are more by now" in page
    for key, ended in ((first, True), (second, True), (late, False)):
        key.refresh_from_db()
        assert (key.revoked_at is not None) == ended
    act = AuditEvent.objects.get(action="emergency.executed").target_id
    kept = responder.get(f"/emergency/{act}/receipt.json")
    assert kept["Content-Disposition"].startswith("attachment")
    outcomes = {each["number"]: each["outcome"] for each in kept.json()["keys"]}
    assert outcomes == {first.number: "stopped", second.number: "stopped", late.number: "appeared-meanwhile"}
    assert as_("auditor").get(f"/emergency/{act}/").status_code == 200
    assert as_("alice").get(f"/emergency/{act}/").status_code == 404
    assert as_("mallory").get(f"/emergency/{act}/receipt.json").status_code == 404
    assert str(act) in responder.get("/emergency/").content.decode()


def test_all_rotating_is_the_other_choice(world: World, as_: Browser) -> None:
    key = issued(world)[0]
    page = as_("admin", "revoke").post("/emergency/", confirmation(key, measure="rotate", phrase="1 key"), follow=True)
    assert "To be replaced: 1" in page.content.decode()
    assert Rotation.objects.open().get(managed_key=key).cause == "compromise"


@pytest.mark.parametrize("measure", ["rotate", "revoke"])
@pytest.mark.parametrize("door", ["page", "rest"])
def test_only_what_was_stopped_has_the_receipt_of_a_stop(world: World, as_: Browser, door: str, measure: str) -> None:
    """A replaced secret works on until the next one is claimed: "stopped, used since" there would frighten a responder."""
    key = issued(world)[0]
    asked = confirmation(key, measure=measure, phrase="1 key")
    admin = as_("admin", "revoke")
    if door == "page":
        assert admin.post("/emergency/", asked).status_code == 302
    else:
        body = {"team": "reporting", "listed": [key.number], "digest": asked["digest"], "measure": measure}
        answer = admin.post("/api/v1/emergencies", body, content_type="application/json")
        assert answer.status_code == 201, answer.content
    stopped = RevocationReceipt.objects.filter(managed_key=key)
    assert [each.action for each in stopped] == ([] if measure == "rotate" else ["emergency"])
    said = admin.get(f"/keys/{key.number}/").content.decode()
    assert ("stopped in an emergency" in said) == (measure == "revoke")


@pytest.mark.parametrize("who", ["alice", "auditor", "mallory"])
def test_everybody_else_is_refused_on_record(world: World, as_: Browser, who: str) -> None:
    key = issued(world)[0]
    browser = as_(who, "revoke")
    assert browser.get("/emergency/").status_code == 403
    assert browser.post("/emergency/", confirmation(key)).status_code == 403
    assert AuditEvent.objects.filter(action="access.denied").count() == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"phrase": "3 keys"}, {"measure": "explode"}, {"reason": "whatever"}, {"digest": "0" * 64}, {"digest": "x"},
        {"listed": "77"}, {"phrase": "1 key", "listed": "77", "digest": digest_of([77])},
    ],
)  # fmt: skip
def test_what_is_amiss_is_said_and_nothing_happens(world: World, as_: Browser, changed: dict[str, str]) -> None:
    key = issued(world)[0]
    answer = as_("responder", "revoke").post("/emergency/", confirmation(key, **({"phrase": "1 key"} | changed)))
    assert answer.status_code == 422
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize(
    "query", ["team=nobody", "recipient=x", "numbers=KEY-1%2Cfour", "numbers=" + "1," * 2001, "team="]
)
def test_a_choice_that_means_nothing_is_explained(world: World, as_: Browser, query: str) -> None:
    assert as_("responder").get(f"/emergency/?{query}").status_code == 422


def test_in_an_emergency_nobody_mends_in_two_rounds(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    asked = confirmation(key, phrase="2 keys", reason="")
    page = as_("responder").post("/emergency/", asked)
    assert list(page.context["form"].errors) == ["reason", "phrase"]
    assert "Confirm with your second factor that it is you." in page.content.decode()
    proven = as_("responder", "revoke").post("/emergency/", asked).content.decode()
    assert "Confirm with your second factor that it is you." not in proven


def test_a_mangled_list_begins_anew_and_presence_is_asked_for(world: World, as_: Browser) -> None:
    key = issued(world)[0]
    responder = as_("responder")
    assert responder.post("/emergency/", confirmation(key, listed="nonsense")).status_code == 302
    assert responder.post("/emergency/", {}).status_code == 302
    unproven = responder.post("/emergency/", confirmation(key, phrase="1 key", code="000000"))
    assert unproven.status_code == 422
    assert str(key) in unproven.content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None
