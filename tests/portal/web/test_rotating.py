"""Rotate keys through the pages: choose the overlap, watch who still uses the old secret, undo, stop, end it by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from audit import clock
from audit.actor import Actor
from audit.events import catalogue
from audit.models import AuditEvent
from keys.catalogue.policies import add_version, rules_of
from keys.errors import Conflict
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.leaving import name_recipient
from keys.lifecycle.revocation import reinstate_key, report_leak, suspend_key
from keys.lifecycle.rotation import start_rotation
from keys.models import Environment, KeyVersion, ManagedKey, Policy, Rotation, Sighting, UsageCount
from keys.operations import operation
from keys.states import (
    CHOSEN_SUSPENSIONS,
    OPEN_ROTATION_STATES,
    Overlap,
    RotationCause,
    RotationState,
    SuspensionReason,
)
from portal.web.life import TOLD
from portal.web.rotation_words import CAUSES, OVERLAPS, STATES, next_words
from tests.people import SYSTEM, World, acting, issued

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]


def both_work(world: World, overlap: Overlap = Overlap.WHEN_IDLE, **changes: object) -> tuple[ManagedKey, Rotation]:
    """A key of Alice's whose new secret was claimed a moment ago."""
    key, _, _ = issued(world, **changes)
    rotation = start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    rotation.refresh_from_db()
    return key, rotation


@operation
def _policy_of(world: World, *, actor: Actor, **rules_now: Any) -> None:
    production = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=production))
    add_version(world.orders, production, replace(rules, **rules_now), actor=actor, at=clock.now())


def seen(version: KeyVersion | None, *, address: str = "10.0.0.5", ago: timedelta = timedelta()) -> None:
    """A client that presented a version."""
    assert version is not None
    at = clock.now() - ago
    Sighting.objects.create(
        version=version, address=address, user_agent="report/2", instance="a", first_at=at, last_at=at, count=3
    )


def test_the_page_of_the_key_leads_to_rotate_and_the_recipient_goes_on_to_claim(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    alice = as_("alice", "claim")
    assert f"/keys/{key.number}/rotate/" in alice.get(f"/keys/{key.number}/").content.decode()
    page = alice.get(f"/keys/{key.number}/rotate/").content.decode()
    assert 'value="24h" checked' in page, "what was approved is proposed"
    answer = alice.post(f"/keys/{key.number}/rotate/", {"overlap": "6h"})
    assert answer["Location"] == f"/keys/{key.number}/claim/"
    rotation = key.rotations.get()
    assert (rotation.state, rotation.overlap, rotation.cause) == ("prepared", "6h", "demand")
    assert "6 hours" in alice.get(f"/keys/{key.number}/claim/").content.decode()
    claimed = alice.post(f"/keys/{key.number}/claim/", {"version": "2"}).content.decode()
    assert f"/keys/{key.number}/rotation/" in claimed
    shown = alice.get(f"/keys/{key.number}/rotation/").content.decode()
    assert "Old one is ending" in shown
    assert f"/keys/{key.number}/rotation/undo/" in shown


def test_a_colleague_starts_it_and_sees_who_can_claim(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    anna = as_("anna", "claim")
    answer = anna.post(f"/keys/{key.number}/rotate/", {"overlap": "when-idle"}, follow=True)
    assert answer.redirect_chain == [(f"/keys/{key.number}/rotation/", 302)]
    page = answer.content.decode()
    assert "Alice claims the new secret" in page
    assert f"/keys/{key.number}/claim/" not in page
    assert f"/keys/{key.number}/rotation/stop/" in page
    # the address of the start leads on while it is under way
    assert anna.get(f"/keys/{key.number}/rotate/")["Location"] == f"/keys/{key.number}/rotation/"
    assert anna.post(f"/keys/{key.number}/rotate/", {"overlap": "1h"}).status_code == 409


@pytest.mark.parametrize("overlap", ["", "2h", "7d ", "none", "é" * 500])
def test_an_odd_overlap_is_asked_for_again(world: World, as_: Browser, overlap: str) -> None:
    key, _, _ = issued(world)
    answer = as_("alice", "claim").post(f"/keys/{key.number}/rotate/", {"overlap": overlap})
    assert answer.status_code == 422
    assert key.rotations.get().state == "scheduled"


def test_what_the_policy_forbids_is_disabled_with_the_reason_and_refused(world: World, as_: Browser) -> None:
    _policy_of(world, longest_overlap_hours=6, actor=SYSTEM)
    key, _, _ = issued(world)
    alice = as_("alice", "claim")
    page = alice.get(f"/keys/{key.number}/rotate/").content.decode()
    assert 'value="24h" checked disabled' in page
    assert "The policy allows at most 6 hours." in page
    refused = alice.post(f"/keys/{key.number}/rotate/", {"overlap": "7d"})
    assert refused.status_code == 422
    assert key.rotations.get().state == "scheduled"
    assert alice.post(f"/keys/{key.number}/rotate/", {"overlap": "6h"}).status_code == 302


def test_rotating_asks_for_presence_and_keeps_the_choice(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    answer = as_("alice").post(f"/keys/{key.number}/rotate/", {"overlap": "1h", "code": "000000"})
    assert answer.status_code == 422
    assert 'value="1h" checked' in answer.content.decode()
    assert key.rotations.get().state == "scheduled"


def test_a_suspended_key_is_not_rotated(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    suspend_key(key, actor=acting(world.admin, "suspend"), reason=SuspensionReason.INVESTIGATION)
    alice = as_("alice", "claim")
    assert f"/keys/{key.number}/rotate/" not in alice.get(f"/keys/{key.number}/").content.decode()
    assert alice.post(f"/keys/{key.number}/rotate/", {"overlap": "1h"}).status_code == 409


@pytest.mark.parametrize("reason", [*CHOSEN_SUSPENSIONS, None])
def test_a_key_that_was_stopped_on_purpose_is_promised_no_new_version(
    world: World, as_: Browser, reason: SuspensionReason | None
) -> None:
    """A leak that was reported is replaced all the same: then the promise is true."""
    key, _, _ = issued(world)
    if reason:
        suspend_key(key, actor=acting(world.admin, "suspend"), reason=reason)
    else:
        report_leak(key, actor=acting(world.alice))
    alice = as_("alice")
    pages = [alice.get(path).content.decode() for path in (f"/keys/{key.number}/rotation/", "/rotations/")]
    is_chosen = reason is not None
    assert ["A new version is made ready" in page for page in pages] == [not is_chosen] * 2
    assert ["nothing is replaced, unless it is reinstated" in page for page in pages] == [is_chosen] * 2
    assert (f"/keys/{key.number}/rotate/" in pages[0]) is not is_chosen, "it would only refuse"
    assert ("not while it is suspended" in alice.get(f"/keys/{key.number}/").content.decode()) is is_chosen


def test_nobody_is_said_to_claim_what_is_suspended_with_its_key(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    rotation = start_rotation(key, actor=acting(world.anna, "claim"))
    suspend_key(key, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    for path in (f"/keys/{key.number}/rotation/", "/rotations/"):
        page = as_("alice").get(path).content.decode()
        assert "Alice claims the new secret" not in page
        assert "its next secret goes to nobody before it is reinstated" in page
    assert rotation.new_version is not None
    with pytest.raises(Conflict):
        claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    assert f"/keys/{key.number}/claim/" not in as_("alice").get(f"/keys/{key.number}/rotation/").content.decode()
    reinstate_key(key, actor=acting(world.admin, "reinstate"))
    assert f"/keys/{key.number}/claim/" in as_("alice").get(f"/keys/{key.number}/rotation/").content.decode()
    assert "Alice claims the new secret" in as_("alice").get("/rotations/").content.decode()


def test_the_old_version_is_shown_against_the_new_one_with_those_who_have_not_moved(world: World, as_: Browser) -> None:
    key, rotation = both_work(world)
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    for version, count in ((rotation.old_version, 41), (rotation.new_version, 17)):
        UsageCount.objects.create(version=version, outcome="valid", hour=hour, count=count, last_at=clock.now())
    Rotation.objects.filter(pk=rotation.pk).update(activated_at=clock.now() - timedelta(hours=2))
    seen(rotation.old_version, address="10.0.0.5", ago=timedelta(hours=1))
    seen(rotation.new_version, address="10.0.0.5")
    seen(rotation.old_version, address="10.0.0.6")
    seen(rotation.old_version, address="10.0.0.7", ago=timedelta(days=8))
    page = as_("auditor").get(f"/keys/{key.number}/rotation/").content.decode()
    assert ">41<" in page
    assert ">17<" in page
    assert "10.0.0.5" in page
    assert "10.0.0.6" in page
    assert "10.0.0.7" not in page, "seen before the window"
    assert "1 client has not moved." in page
    assert "as soon as every client has moved" in page
    for act in ("undo", "stop", "end"):
        assert f"/keys/{key.number}/rotation/{act}/" not in page


def test_the_owners_undo_and_the_old_version_lives_on(world: World, as_: Browser) -> None:
    key, rotation = both_work(world, Overlap.HOUR)
    anna = as_("anna", "claim")
    assert "Undo the rotation" in anna.get(f"/keys/{key.number}/rotation/undo/").content.decode()
    done = anna.post(f"/keys/{key.number}/rotation/undo/", follow=True)
    assert "Undone. The old version works on." in done.content.decode()
    rotation.refresh_from_db()
    assert rotation.state == "rolled-back"
    assert "Undone" in anna.get(f"/keys/{key.number}/rotation/").content.decode()
    life = anna.get(f"/keys/{key.number}/?view=life").content.decode()
    assert "Rotation undone" in life
    assert "Version 1 lives on" in life
    assert anna.post(f"/keys/{key.number}/rotation/undo/").status_code == 409


def test_a_rotation_that_waits_is_stopped(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    rotation = start_rotation(key, actor=acting(world.anna, "claim"))
    alice = as_("alice", "claim")
    assert alice.post(f"/keys/{key.number}/rotation/undo/").status_code == 409
    assert alice.post(f"/keys/{key.number}/rotation/stop/").status_code == 302
    rotation.refresh_from_db()
    assert (rotation.state, rotation.ended_reason) == ("aborted", "stopped")
    assert alice.get(f"/keys/{key.number}/rotation/stop/").status_code == 409
    assert "because somebody stopped it" in alice.get(f"/keys/{key.number}/rotation/").content.decode()


def test_what_is_known_to_others_never_comes_back_and_the_page_says_so(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    rotation = start_rotation(
        key, overlap=Overlap.HOUR, cause=RotationCause.COMPROMISE, actor=acting(world.anna, "claim")
    )
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    alice = as_("alice", "claim")
    page = alice.get(f"/keys/{key.number}/rotation/").content.decode()
    assert "It cannot be undone: the old secret is known to others." in page
    assert f"/keys/{key.number}/rotation/undo/" not in page
    assert alice.post(f"/keys/{key.number}/rotation/undo/").status_code == 409


@pytest.mark.parametrize(("ends_in", "hours"), [("0", 0), ("15m", 0.25), ("7d", 168)])
def test_an_administrator_moves_the_end(world: World, as_: Browser, ends_in: str, hours: float) -> None:
    key, rotation = both_work(world)
    admin = as_("admin", "revoke")
    assert f"/keys/{key.number}/rotation/end/" in admin.get(f"/keys/{key.number}/rotation/").content.decode()
    before = clock.now()
    assert admin.post(f"/keys/{key.number}/rotation/end/", {"ends_in": ends_in}).status_code == 302
    old = key.versions.get(sequence=1)
    assert old.retire_at is not None
    assert timedelta() <= old.retire_at - before - timedelta(hours=hours) < timedelta(minutes=1)
    rotation.refresh_from_db()
    assert rotation.state == "draining"


@pytest.mark.parametrize("ends_in", ["", "1", "-1", "now", "9999d"])
def test_an_odd_end_moves_nothing(world: World, as_: Browser, ends_in: str) -> None:
    key, _ = both_work(world)
    before = key.versions.get(sequence=1).retire_at
    answer = as_("admin", "revoke").post(f"/keys/{key.number}/rotation/end/", {"ends_in": ends_in})
    assert answer.status_code == 422
    assert key.versions.get(sequence=1).retire_at == before


ACTS = {
    "rotate": ("start_rotation", {"overlap": "1h"}),
    "rotation/undo": ("undo_rotation", {}),
    "rotation/stop": ("abort_rotation", {}),
    "rotation/end": ("override_retirement", {"ends_in": "0"}),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("who", ["bob", "auditor"])
def test_those_who_may_only_look_leave_one_denial(world: World, as_: Browser, act: str, who: str) -> None:
    key, _ = both_work(world)
    operation, form = ACTS[act]
    browser = as_(who, "claim", "revoke")
    assert browser.get(f"/keys/{key.number}/rotation/").status_code == 200
    before = AuditEvent.objects.filter(action="access.denied").count()
    assert browser.post(f"/keys/{key.number}/{act}/", form).status_code == 403
    denied = AuditEvent.objects.filter(action="access.denied").order_by("-id")
    assert denied.count() == before + 1
    assert denied[0].envelope()["details"]["operation"] == operation
    assert Rotation.objects.open().get().state == "activated"


def test_who_was_passed_over_neither_sees_how_to_stop_that_nor_does_it_by_either_door(
    world: World, as_: Browser
) -> None:
    key, _, _ = issued(world)  # Alice leads the team and knows the secret
    name_recipient(key, recipient=world.anna, rotate=True, actor=acting(world.admin, "handover"))
    rotation = key.rotations.open().get()
    page, stop, api = (
        f"/keys/{key.number}/rotation/",
        f"/keys/{key.number}/rotation/stop/",
        f"/api/v1/rotations/{rotation.pk}/abort",
    )
    for who, code, said in (("alice", 403, 403), ("anna", 403, 403), ("bob", 403, 403), ("mallory", 404, 404)):
        browser = as_(who, "claim")
        assert stop not in browser.get(page).content.decode()
        assert [browser.get(stop).status_code, browser.post(stop, {}).status_code] == [code, code]
        program = APIClient()
        program.force_authenticate(user=acting(getattr(world, who), "claim"))
        assert program.post(api, {}, format="json").status_code == said
    assert "somebody else has to stop that" in as_("alice", "claim").post(stop, {}).content.decode()
    assert key.rotations.open().get().state == "prepared"
    responder = as_("responder", "claim")
    assert stop in responder.get(page).content.decode()
    assert responder.post(stop, {}).status_code == 302
    rotation.refresh_from_db()
    assert rotation.state == "aborted"


def test_the_owners_do_not_move_the_end_that_is_for_administrators(world: World, as_: Browser) -> None:
    key, _ = both_work(world)
    alice = as_("alice", "claim", "revoke")
    assert f"/keys/{key.number}/rotation/end/" not in alice.get(f"/keys/{key.number}/rotation/").content.decode()
    assert alice.post(f"/keys/{key.number}/rotation/end/", {"ends_in": "0"}).status_code == 403


@pytest.mark.parametrize("page", ["rotate", "rotation", "rotation/undo", "rotation/stop", "rotation/end"])
def test_for_a_stranger_there_is_no_rotation(world: World, as_: Browser, page: str) -> None:
    key, _ = both_work(world)
    mallory = as_("mallory", "claim", "revoke")
    assert mallory.get(f"/keys/{key.number}/{page}/").status_code == 404
    assert "Nightly report" not in mallory.get("/rotations/").content.decode()
    assert Client().get(f"/keys/{key.number}/{page}/").status_code == 302
    assert mallory.get(f"/keys/99999999999/{page}/").status_code == 404


def test_the_calendar_lists_what_is_to_come_and_what_is_late_first(world: World, as_: Browser) -> None:
    assert "Nothing is to be rotated" in as_("alice").get("/rotations/").content.decode()
    both_work(world, name="Both work")
    late, _, _ = issued(world, name="Not begun in time")
    Rotation.objects.filter(managed_key=late).update(due_at=clock.now() - timedelta(hours=1))
    waiting, _, _ = issued(world, name="Nobody claims")
    slow = start_rotation(waiting, actor=acting(world.anna, "claim"))
    Rotation.objects.filter(pk=slow.pk).update(prepared_at=clock.now() - timedelta(days=4))
    issued(world, name="Comes later")
    page = as_("alice").get("/rotations/").content.decode()
    order = [page.index(text) for text in ("Late: somebody should look", "Under way and to come", "Comes later")]
    assert order == sorted(order)
    assert page.index("Not begun in time") < order[1]
    assert page.index("Nobody claims") < order[1]
    assert page.index("Both work</a>") > order[1]
    assert (
        "Comes later"
        in as_("admin").get("/rotations/?state=scheduled&environment=prod&service=orders").content.decode()
    )
    filtered = as_("alice").get("/rotations/?state=activated").content.decode()
    assert "Both work</a>" in filtered
    assert "Comes later" not in filtered
    assert "No rotation fits these filters" in as_("alice").get("/rotations/?state=handed-over").content.decode()
    assert as_("alice").get("/rotations/?state=%F0%9F%A6%8A&cursor=x&team=no").status_code == 200


def test_a_key_without_a_rotation_says_so(world: World, as_: Browser) -> None:
    key, _, _ = issued(world, cryptoperiod_days=30, authorised_days=30)
    assert not key.rotations.exists()
    assert "This key has no rotation" in as_("alice").get(f"/keys/{key.number}/rotation/").content.decode()


def test_a_scheduled_rotation_tells_its_date(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    page = as_("alice").get(f"/keys/{key.number}/rotation/").content.decode()
    assert "Until then nothing changes." in page
    assert "Next rotation" in as_("alice").get(f"/keys/{key.number}/").content.decode()


def test_a_rotation_beyond_the_authorisation_promises_nothing(world: World, as_: Browser) -> None:
    key, _, _ = issued(world)
    rotation = key.rotations.get()
    rotation.managed_key.authorised_until = rotation.due_at
    words, at = next_words(rotation, is_stopped=False)
    assert str(words) == "Nothing is replaced: the authorisation of the key is over by then."
    assert at is None, "what does not happen is never late"


def test_the_moments_of_refusal_before_the_end_are_announced(world: World, as_: Browser) -> None:
    quiet, _ = both_work(world, Overlap.DAY, name="Quiet")
    _policy_of(world, brownouts=True, actor=SYSTEM)
    key, _ = both_work(world, Overlap.DAY)
    page = as_("alice").get(f"/keys/{key.number}/rotation/").content.decode()
    assert "refused for a moment before it ends" in page
    assert page.count("30 seconds</li>") == 1, "the first window would begin at the claim"
    assert page.count("1 minute</li>") == 2
    assert "refused for a moment" not in as_("alice").get(f"/keys/{quiet.number}/rotation/").content.decode()


def test_everything_of_a_rotation_has_words() -> None:

    told = {name for name, event in catalogue().items() if event.target_type == "rotation"}
    assert told - set(TOLD) <= {"rotation.followed"}
    assert set(STATES) == set(RotationState)
    assert set(CAUSES) == set(RotationCause)
    assert set(OVERLAPS) == set(Overlap)
    assert set(OPEN_ROTATION_STATES) <= set(STATES)
