"""A secret is replaced without an outage: scheduled, prepared, activated, drained, completed; undone and stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.catalogue.policies import add_version, rules_of
from keys.errors import Conflict, Denied
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import (
    abort_rotation,
    issue_new_version,
    override_retirement,
    start_rotation,
    undo_rotation,
)
from keys.lifecycle.rotation_sweeps import prepare_rotation
from keys.models import KeyVersion, ManagedKey, Policy, Rotation, UsageCount
from keys.operations import operation
from keys.states import Overlap, RevocationReason, RotationCause, SuspensionReason
from keys.tasks import follow_policies, rotate
from tests.people import SYSTEM, World, acting, issued

JOB = Actor.job("prepare_rotation")


def _living(key: ManagedKey) -> list[int]:
    working = key.versions.filter(pk__in=KeyVersion.objects.living(clock.now()).values("pk"), state="active")
    return sorted(working.values_list("sequence", flat=True))


def _rotated(world: World, overlap: Overlap = Overlap.HOUR) -> tuple[ManagedKey, Rotation]:
    key, _, _ = issued(world)
    rotation = start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))  # type: ignore[arg-type]
    rotation.refresh_from_db()
    return key, rotation


def test_the_first_claim_gives_the_key_the_date_of_its_rotation(world: World) -> None:
    key, version, _ = issued(world)
    rotation = key.rotations.get()
    assert (rotation.state, rotation.cause, rotation.overlap) == ("scheduled", "schedule", "24h")
    assert version.expires_at is not None
    assert version.activated_at is not None
    # 30 days of cryptoperiod: 14 days before the end is later than half of it.
    assert rotation.due_at == version.expires_at - timedelta(days=14)


def test_a_due_rotation_waits_for_the_recipient_and_the_old_version_works_on_unbounded(world: World) -> None:
    key, version, _ = issued(world)
    assert rotate() == 0
    Rotation.objects.update(due_at=clock.now() - timedelta(seconds=1))
    assert rotate() == 1
    rotation = key.rotations.get()
    version.refresh_from_db()
    assert rotation.state == "prepared"
    assert version.retire_at is None
    assert _living(key) == [1]
    assert rotation.new_version is not None
    # as long as the old one works, the new one can be claimed
    assert rotation.new_version.claim_until == version.expires_at


def test_a_claim_activates_and_bounds_the_old_version_by_the_overlap(world: World) -> None:
    key, rotation = _rotated(world, Overlap.SIX_HOURS)
    old = key.versions.get(sequence=1)
    assert rotation.state == "draining"
    assert rotation.activated_at is not None
    assert old.retire_at == rotation.activated_at + timedelta(hours=6)
    assert _living(key) == [1, 2]
    assert list(AuditEvent.objects.filter(target_type="rotation").order_by("id").values_list("action", flat=True)) == [
        "rotation.scheduled",
        "rotation.prepared",
        "rotation.activated",
        "rotation.drained",
    ]


def test_when_the_old_version_is_over_the_rotation_is_completed_and_the_next_has_its_date(world: World) -> None:
    key, _ = _rotated(world, Overlap.NOW)
    assert _living(key) == [2]
    assert rotate() == 1
    assert list(key.rotations.order_by("created_at").values_list("state", flat=True)) == ["completed", "scheduled"]
    assert key.rotations.get(state="scheduled").old_version == key.versions.get(sequence=2)


@pytest.mark.parametrize("overlap", [Overlap.FIRST_USE, Overlap.WHEN_IDLE])
def test_an_overlap_without_a_time_is_bounded_by_the_policy_alone(world: World, overlap: Overlap) -> None:
    key, rotation = _rotated(world, overlap)
    assert rotation.state == "activated"
    assert rotation.activated_at is not None
    assert key.versions.get(sequence=1).retire_at == rotation.activated_at + timedelta(days=14)
    assert rotate() == 0


def test_undo_lets_the_old_version_live_on_and_ends_the_new_one(world: World) -> None:
    key, rotation = _rotated(world)
    undo_rotation(rotation, actor=acting(world.anna, "claim"))
    assert _living(key) == [1]
    assert key.versions.get(sequence=1).retire_at is None
    assert list(key.rotations.order_by("created_at").values_list("state", flat=True)) == ["rolled-back", "scheduled"]
    assert key.rotations.get(state="scheduled").due_at >= clock.now() + timedelta(hours=23)


def test_nothing_comes_back_after_the_old_version_ended_or_was_compromised(world: World) -> None:
    _, rotation = _rotated(world, Overlap.NOW)
    with pytest.raises(Conflict, match="undo_too_late"):
        undo_rotation(rotation, actor=acting(world.anna, "claim"))
    key, _, _ = issued(world)
    rotation = start_rotation(
        key, overlap=Overlap.HOUR, cause=RotationCause.COMPROMISE, actor=acting(world.anna, "claim")
    )
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="compromised_stays_ended"):
        undo_rotation(rotation, actor=acting(world.anna, "claim"))


def test_stopping_before_the_claim_ends_the_new_version_and_the_rotation_comes_back_tomorrow(world: World) -> None:
    key, _, _ = issued(world)
    rotation = start_rotation(key, actor=acting(world.anna, "claim"))
    abort_rotation(rotation, actor=acting(world.anna, "claim"))
    assert _living(key) == [1]
    assert key.versions.get(sequence=2).state == "deactivated"
    assert key.rotations.get(state="scheduled").due_at >= clock.now() + timedelta(hours=23)


def test_a_revocation_ends_the_rotation_in_every_phase(world: World) -> None:
    for phase in ("scheduled", "prepared", "activated", "draining"):
        key, _, _ = issued(world)
        if phase != "scheduled":
            overlap = Overlap.WHEN_IDLE if phase == "activated" else Overlap.HOUR
            rotation = start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))
            if phase != "prepared":
                claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))  # type: ignore[arg-type]
        assert key.rotations.open().get().state == phase
        revoke_key(key, actor=acting(world.admin, "revoke"), reason=RevocationReason.SUPERSEDED)
        assert key.rotations.get().state == "aborted"
        assert key.rotations.get().ended_reason == "key-revoked"
        assert _living(key) == []
        assert rotate() == 0


def test_what_was_suspended_on_purpose_does_not_rotate_and_takes_up_its_schedule_when_reinstated(world: World) -> None:
    key, _, _ = issued(world)
    suspend_key(key, actor=acting(world.admin, "suspend"), reason=SuspensionReason.INVESTIGATION)
    with pytest.raises(Conflict, match="key_suspended"):
        start_rotation(key, actor=acting(world.anna, "claim"))
    Rotation.objects.update(due_at=clock.now())
    assert rotate() == 1
    assert key.rotations.get().ended_reason == "key-suspended"
    reinstate_key(key, actor=acting(world.responder, "reinstate"))
    assert key.rotations.get(state="scheduled").due_at > clock.now()


def test_a_reported_leak_is_replaced_and_the_leaked_version_never_comes_back(world: World) -> None:
    key, _, _ = issued(world)
    report_leak(key, actor=acting(world.alice))
    version = issue_new_version(key, actor=acting(world.alice, "claim"))
    claim_secret(version, actor=acting(world.alice, "claim"))
    assert _living(key) == [2]
    assert key.rotations.get(cause="compromise").state == "completed"


def test_an_unclaimed_next_secret_lapses_and_the_rotation_says_so(world: World) -> None:
    key, _, _ = issued(world)
    rotation = start_rotation(key, actor=acting(world.anna, "claim"))
    KeyVersion.objects.filter(pk=rotation.new_version_id).update(claim_until=clock.now() - timedelta(seconds=1))
    assert rotate() == 1
    rotation.refresh_from_db()
    assert (rotation.state, rotation.ended_reason) == ("aborted", "claim-lapsed")


def test_an_administrator_moves_the_end_of_the_old_version_within_its_own(world: World) -> None:
    key, rotation = _rotated(world, Overlap.WHEN_IDLE)
    override_retirement(rotation, retire_at=clock.now() + timedelta(days=400), actor=acting(world.admin, "revoke"))
    old = key.versions.get(sequence=1)
    assert old.retire_at == old.expires_at
    override_retirement(rotation, retire_at=clock.now() - timedelta(days=1), actor=acting(world.admin, "revoke"))
    assert _living(key) == [2]
    with pytest.raises(Conflict, match="already_retired"):
        override_retirement(rotation, retire_at=clock.now(), actor=acting(world.admin, "revoke"))


def test_strangers_and_approvers_rotate_nothing(world: World) -> None:
    key, rotation = _rotated(world)
    for person in (world.mallory, world.bob, world.auditor):
        for act in (
            lambda who: start_rotation(key, actor=who),
            lambda who: undo_rotation(rotation, actor=who),
            lambda who: abort_rotation(rotation, actor=who),
            lambda who: override_retirement(rotation, retire_at=clock.now(), actor=who),
        ):
            with pytest.raises(Denied):
                act(acting(person, "claim", "revoke"))
    assert Rotation.objects.get(pk=rotation.pk).state == "draining"


def test_a_second_rotation_waits_for_the_first(world: World) -> None:
    key, _ = _rotated(world)
    with pytest.raises(Conflict, match="rotation_open"):
        start_rotation(key, actor=acting(world.anna, "claim"))
    assert not prepare_rotation(key.rotations.get(), actor=JOB)


def test_a_new_secret_lost_before_anybody_used_it_does_not_end_the_one_in_use(world: World) -> None:
    key, rotation = _rotated(world)
    one, two = key.versions.order_by("sequence")
    at = clock.now()
    UsageCount.objects.create(version=one, outcome="valid", hour=at, count=1, last_at=at)
    claim_secret(issue_new_version(key, actor=acting(world.alice, "claim")), actor=acting(world.alice, "claim"))
    assert _living(key) == [1, 3]
    assert key.versions.get(sequence=1).retire_at == one.retire_at, "nor does it live longer"
    rotation = key.rotations.open().get()
    assert (rotation.cause, rotation.state, rotation.old_version) == ("lost", "draining", one)
    two.refresh_from_db()
    assert two.ended_reason == "superseded"


def test_a_used_secret_that_is_lost_works_on_beside_its_successor(world: World) -> None:
    key, _ = _rotated(world)
    at = clock.now()
    for version in key.versions.all():
        UsageCount.objects.create(version=version, outcome="valid", hour=at, count=1, last_at=at)
    claim_secret(issue_new_version(key, actor=acting(world.alice, "claim")), actor=acting(world.alice, "claim"))
    assert _living(key) == [2, 3]


def test_the_authorisation_never_moves(world: World) -> None:
    key, _, _ = issued(world)
    until = key.authorised_until
    for _ in range(3):
        rotation = start_rotation(key, overlap=Overlap.NOW, actor=acting(world.anna, "claim"))
        claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))  # type: ignore[arg-type]
        rotate()
    key.refresh_from_db()
    assert key.authorised_until == until
    assert all(version.expires_at <= until for version in key.versions.exclude(expires_at=None))  # type: ignore[operator]


def test_a_stricter_policy_brings_the_rotation_forward_and_nothing_else(world: World) -> None:
    key, version, _ = issued(world)
    usual = key.rotations.get().due_at
    _cap(world, days=20)
    assert follow_policies() == 0  # it is due before that anyway
    _cap(world, days=5)
    assert version.activated_at is not None
    assert follow_policies() == 1
    rotation = key.rotations.get()
    assert (rotation.state, rotation.cause) == ("scheduled", "policy")
    assert rotation.due_at == version.activated_at + timedelta(days=5) < usual
    assert follow_policies() == 0
    _cap(world, days=90)
    assert follow_policies() == 0  # what was brought forward stays so
    assert key.rotations.get().due_at < usual


@operation
def _cap(world: World, *, days: int, actor: Actor = SYSTEM) -> None:
    current = Policy.objects.current().select_related("environment").get(service=world.orders, environment__tag="prod")
    rules = replace(rules_of(current), max_cryptoperiod_days=days)
    add_version(world.orders, current.environment, rules, actor=actor, at=clock.now())
