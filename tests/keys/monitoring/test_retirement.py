"""The old version ends by what clients do: not before the new one is used, and not before everybody has moved."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import suspend_key
from keys.lifecycle.rotation import start_rotation, undo_rotation
from keys.models import KeyVersion, ManagedKey, Rotation, Sighting, UsageCount
from keys.monitoring import traffic
from keys.monitoring.retirement import retire_by_traffic, ripe_by_traffic
from keys.monitoring.traffic import clients_on_old, hours_of_use
from keys.states import Overlap, SuspensionReason
from keys.tasks import rotate
from tests.people import World, acting, issued

JOB = Actor.job("retire_by_traffic")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def _both_work(world: World, overlap: Overlap, *, since: timedelta = DAY) -> Rotation:
    """A rotation whose new secret was claimed `since` ago; as far as the clients are concerned."""
    key, _, _ = issued(world)
    rotation = start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    Rotation.objects.filter(pk=rotation.pk).update(activated_at=clock.now() - since)
    return Rotation.objects.get(pk=rotation.pk)


def _used(version: KeyVersion | None, *, outcome: str = "valid", ago: timedelta = timedelta()) -> None:
    assert version is not None
    at = clock.now() - ago
    UsageCount.objects.create(version=version, outcome=outcome, hour=at, count=1, last_at=at)


def _seen(
    version: KeyVersion | None,
    *,
    ago: timedelta = timedelta(),
    address: str | None = "10.0.0.5",
    user_agent: str = "report/2",
    instance: str = "a",
) -> None:
    assert version is not None
    at = clock.now() - ago
    Sighting.objects.create(
        version=version, address=address, user_agent=user_agent, instance=instance, first_at=at, last_at=at, count=1
    )
    _used(version, ago=ago + timedelta(microseconds=Sighting.objects.count()))


def _old_lives(rotation: Rotation) -> bool:
    return KeyVersion.objects.living(clock.now()).filter(pk=rotation.old_version_id).exists()


def test_the_first_use_of_the_new_version_ends_the_old_one(world: World) -> None:
    rotation = _both_work(world, Overlap.FIRST_USE)
    _used(rotation.old_version)
    assert rotate() == 0
    assert _old_lives(rotation)
    _used(rotation.new_version)
    assert rotate() == 1
    assert not _old_lives(rotation), "at once, not when the next run has written it down"
    assert rotate() == 1
    told = AuditEvent.objects.filter(target_type="rotation", target_id=str(rotation.pk)).order_by("-id")
    assert list(told.values_list("action", flat=True)[:2]) == ["rotation.completed", "rotation.drained"]
    assert rotate() == 0


@pytest.mark.parametrize(("outcome", "ago"), [("network", timedelta()), ("not_yet_active", HOUR), ("valid", 2 * DAY)])
def test_only_an_accepted_use_after_the_claim_counts_as_the_first(world: World, outcome: str, ago: timedelta) -> None:
    rotation = _both_work(world, Overlap.FIRST_USE)
    _used(rotation.new_version, outcome=outcome, ago=ago)
    assert rotate() == 0
    assert _old_lives(rotation)


def test_the_old_version_waits_for_the_last_client_to_move(world: World) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    _seen(rotation.old_version, ago=HOUR, instance="a")
    _seen(rotation.old_version, ago=6 * DAY, instance="weekly")
    _seen(rotation.new_version, instance="a")
    assert rotate() == 0
    assert [(each.instance, each.has_moved) for each in clients_on_old(rotation, at=clock.now())] == [
        ("weekly", False),
        ("a", True),
    ]
    _seen(rotation.new_version, instance="weekly")
    assert rotate() == 1
    assert not _old_lives(rotation)


@pytest.mark.parametrize("difference", [{"address": "10.0.0.6"}, {"user_agent": "report/3"}, {"instance": "b"}])
def test_another_client_on_the_new_version_proves_nothing(world: World, difference: dict[str, str]) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    _seen(rotation.old_version, ago=HOUR)
    _seen(rotation.new_version, **difference)
    assert rotate() == 0


def test_a_client_that_still_uses_both_has_not_moved(world: World) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    _seen(rotation.old_version, ago=timedelta(minutes=5))
    _seen(rotation.new_version)
    assert rotate() == 0, "a minute ago it came with the old secret"
    Sighting.objects.filter(version=rotation.old_version).update(last_at=clock.now() - timedelta(minutes=16))
    assert rotate() == 1


def test_a_client_that_went_back_has_not_moved(world: World) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    _seen(rotation.new_version, ago=5 * HOUR)
    _seen(rotation.old_version, ago=HOUR)
    assert rotate() == 0


def test_what_was_seen_on_the_new_version_before_it_worked_does_not_count(world: World) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    _seen(rotation.old_version, ago=4 * DAY)
    _seen(rotation.new_version, ago=2 * DAY)
    assert rotate() == 0


def test_clients_that_cannot_be_told_apart_prove_nothing_by_moving(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    _seen(rotation.old_version, ago=HOUR, address=None, user_agent="", instance="")
    _seen(rotation.new_version, address=None, user_agent="", instance="")
    assert clients_on_old(rotation, at=clock.now())[0].is_nameless
    assert rotate() == 0
    Sighting.objects.all().delete()
    _seen(rotation.old_version, ago=HOUR)
    _seen(rotation.new_version)
    monkeypatch.setattr(traffic, "MOST_SIGHTINGS", 1)
    assert rotate() == 0, "beyond the number remembered others may have come"
    monkeypatch.setattr(traffic, "MOST_SIGHTINGS", 2)
    assert rotate() == 1


def test_silence_for_the_whole_window_is_enough_and_a_young_version_is_never_silent(world: World) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    at = clock.now()
    assert rotate() == 0, "claimed yesterday: what will use it may run tonight"
    assert list(ripe_by_traffic(at + 6 * DAY)) == []
    assert list(ripe_by_traffic(at + 8 * DAY)) == [rotation]
    _used(rotation.old_version, outcome="scope", ago=-2 * DAY)
    assert list(ripe_by_traffic(at + 8 * DAY)) == [], "whoever is refused a scope still holds it"
    assert list(ripe_by_traffic(at + 10 * DAY)) == [rotation]
    assert not retire_by_traffic(rotation, actor=JOB), "what was ripe when it was listed is asked again"
    assert _old_lives(rotation)


def test_the_last_version_that_works_is_never_ended_by_traffic(world: World) -> None:
    rotation = _both_work(world, Overlap.FIRST_USE)
    _used(rotation.new_version)
    suspended = ManagedKey.objects.get(pk=rotation.managed_key_id)
    suspend_key(suspended, actor=acting(world.admin, "suspend"), reason=SuspensionReason.INVESTIGATION)
    assert not retire_by_traffic(rotation, actor=JOB)
    assert rotation.old_version is not None
    old = KeyVersion.objects.get(pk=rotation.old_version_id)
    assert old.state == "suspended"
    assert old.retire_at is not None
    assert old.retire_at > clock.now()


def test_other_overlaps_and_undone_rotations_are_left_alone(world: World) -> None:
    timed = _both_work(world, Overlap.DAY)
    _used(timed.new_version)
    assert rotate() == 0
    undone = _both_work(world, Overlap.FIRST_USE)
    _used(undone.new_version)
    undo_rotation(undone, actor=acting(world.anna, "claim"))
    assert not retire_by_traffic(undone, actor=JOB)
    assert _old_lives(undone)


def test_the_hours_are_counted_apart_and_empty_ones_are_there(world: World) -> None:
    rotation = _both_work(world, Overlap.WHEN_IDLE)
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    for version, back, count, outcome in (
        (rotation.old_version, 0, 5, "valid"),
        (rotation.new_version, 0, 3, "valid"),
        (rotation.new_version, 23, 9, "valid"),
        (rotation.old_version, 24, 7, "valid"),
        (rotation.old_version, 1, 8, "scope"),
    ):
        UsageCount.objects.create(
            version=version, outcome=outcome, hour=hour - back * HOUR, count=count, last_at=clock.now()
        )
    hours = hours_of_use(rotation, upto=hour + timedelta(minutes=30))
    assert len(hours) == 24
    assert (hours[-1].old, hours[-1].new) == (5, 3)
    assert (hours[0].old, hours[0].new) == (0, 9)
    assert sum(each.old for each in hours) == 5
