"""Whoever has to act on a replacement is told when, and what ends when they do not."""

from datetime import timedelta

import pytest

from audit import clock
from audit.models import AuditEvent
from keys.dispatch.cursor import Told, read_all
from keys.errors import Conflict, Denied
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.fetching import fetch_next
from keys.lifecycle.revocation import suspend_key
from keys.lifecycle.rotation import start_rotation, undo_rotation
from keys.models import KeyVersion, Notice, Rotation
from keys.notifications.choices import choose_quiet
from keys.notifications.reactions import READER, notice_everyone
from keys.notifications.words import Words, spoken, words_for
from keys.people.teams import change_member_roles
from keys.states import MessageFamily, Overlap, SuspensionReason, Telling
from keys.tasks import rotate
from tests.fetching import INSIDE, OTHER_TOKEN, TOKEN, client_of, due, fetching
from tests.people import World, acting, issued
from tests.sealers import SealingThread


def told(sealing: SealingThread, kind: str) -> dict[str, Words]:
    sealing.settle()
    read_all(READER, (notice_everyone,))
    return {notice.person.name: words_for(notice) for notice in Notice.objects.filter(kind=kind)}


def told_uncommitted(kind: str) -> dict[str, Words]:
    """As `told`, for tests that move a clock by hand, which no event explains, so that nothing can be committed."""
    for event in AuditEvent.objects.order_by("id"):
        notice_everyone(
            Told(
                leaf=event.pk, uid=event.uid, occurred_at=event.occurred_at, action=event.action, actor_type=event.actor_type,
                actor_id=event.actor_id, target_type=event.target_type, target_id=event.target_id, environment="",
                outcome=event.outcome, payload=event.envelope(),
            )
        )  # fmt: skip
    return {notice.person.name: words_for(notice) for notice in Notice.objects.filter(kind=kind)}


def begun(world: World, overlap: Overlap = Overlap.HOUR) -> Rotation:
    key, _, _ = issued(world)
    return start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))


def claimed(world: World, rotation: Rotation) -> Rotation:
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    rotation.refresh_from_db()
    return rotation


def lead_too(world: World) -> None:
    membership = world.reporting.memberships.get(person=world.anna)
    change_member_roles(membership, roles=["developer", "lead"], actor=acting(world.admin, "people"))


def test_the_recipient_and_leads_are_asked_once_to_claim_the_next_secret(sealing: SealingThread, world: World) -> None:
    rotation = begun(world)
    words = told(sealing, "rotation.prepared")
    assert set(words) == {"Alice"}  # the recipient leads the team too
    assert rotation.old_version is not None
    assert spoken(rotation.old_version.expires_at) in words["Alice"].sentence
    assert words["Alice"].path == f"/keys/{rotation.managed_key.number}/"
    # the first secret of the key only: the next one is told by its rotation
    assert Notice.objects.filter(kind="version.created").count() == 1


def test_owners_hear_when_the_old_secret_ends_and_not_twice_of_one_claim(sealing: SealingThread, world: World) -> None:
    rotation = begun(world)
    claimed(world, rotation)
    lead_too(world)
    words = told(sealing, "rotation.drained")
    old = rotation.managed_key.versions.get(sequence=1)
    assert set(words) == {"Anna"}  # Alice claimed it and was shown when the old one ends
    assert spoken(old.retire_at) in words["Anna"].subject
    assert told(sealing, "rotation.activated") == {}


def test_without_a_time_owners_hear_what_ends_the_old_secret(sealing: SealingThread, world: World) -> None:
    rotation = begun(world, Overlap.WHEN_IDLE)
    claimed(world, rotation)
    lead_too(world)
    assert set(told(sealing, "rotation.activated")) == {"Anna"}
    assert told(sealing, "rotation.drained") == {}


def test_a_completed_rotation_waits_for_the_digest(sealing: SealingThread, world: World) -> None:
    claimed(world, begun(world, Overlap.NOW))
    assert rotate() == 1
    assert set(told(sealing, "rotation.completed")) == {"Alice"}
    assert not Notice.objects.unsent().filter(kind="rotation.completed").exists()


def test_a_lapsed_claim_is_told_with_the_end_of_the_old_secret(world: World) -> None:
    rotation = begun(world)
    KeyVersion.objects.filter(pk=rotation.new_version_id).update(claim_until=clock.now() - timedelta(seconds=1))
    assert rotate() == 1
    assert rotation.old_version is not None
    words = told_uncommitted("rotation.aborted")["Alice"]
    assert "Nobody claimed" in words.sentence
    assert spoken(rotation.old_version.expires_at) in words.sentence


def test_a_suspended_key_is_not_replaced_and_its_owners_hear_why(world: World) -> None:
    key, _, _ = issued(world)
    suspend_key(key, actor=acting(world.admin, "suspend"), reason=SuspensionReason.INVESTIGATION)
    Rotation.objects.update(due_at=clock.now())
    assert rotate() == 1
    assert "suspended" in told_uncommitted("rotation.aborted")["Alice"].sentence


def test_an_undone_rotation_is_told(sealing: SealingThread, world: World) -> None:
    rotation = claimed(world, begun(world))
    undo_rotation(rotation, actor=acting(world.anna, "claim"))
    assert set(told(sealing, "rotation.rolled-back")) == {"Alice"}


def test_two_tokens_for_one_secret_are_told_to_everybody_concerned_however_quiet_they_chose_to_be(
    sealing: SealingThread, world: World
) -> None:
    quiet = {str(family): str(Telling.QUIET) for family in MessageFamily}
    choose_quiet(world.alice, actor=acting(world.alice), choice=quiet)
    key, old, _ = fetching(world)
    rotation = due(world, key)
    fetch_next(old, token=TOKEN, address=INSIDE, actor=client_of(key))
    with pytest.raises(Conflict, match="fetched_by_another"):
        fetch_next(old, token=OTHER_TOKEN, address=INSIDE, actor=client_of(key))
    words = told(sealing, "rotation.contested")
    assert set(words) == {notice.person.name for notice in Notice.objects.unsent().filter(kind="rotation.contested")}
    assert {"Alice", "Bob"} <= set(words), "both sides hear of what may be a thief"
    assert words["Alice"].subject == f"Somebody else may hold the secret of {key}"
    assert "asked for twice with the old one, with different tokens" in words["Alice"].sentence
    old.refresh_from_db()
    assert spoken(old.expires_at) in words["Alice"].sentence
    assert words["Alice"].path == f"/keys/{key.number}/"
    # The thief tries again with a token of its own: that changes nothing, and nobody is told twice.
    rotation.refresh_from_db()
    assert (rotation.state, rotation.ended_reason) == ("aborted", "second-token")
    with pytest.raises(Denied, match="fetch_contested"):
        fetch_next(old, token="token-of-the-thief-3", address=INSIDE, actor=client_of(key))
    assert told(sealing, "rotation.contested").keys() == words.keys()
    assert Notice.objects.filter(kind="rotation.contested").count() == len(words)
