"""Nothing ends by surprise: reminders at 30, 14, 7 and 1 days and after, each once, to who can act and then to who answers."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from audit import clock
from keys.approvals.decisions import approve_request
from keys.catalogue.policies import add_version, rules_of
from keys.lifecycle.revocation import revoke_key
from keys.lifecycle.rotation import start_rotation
from keys.models import Environment, KeyVersion, ManagedKey, Notice, Policy, Reminder, Rotation, UsageCount
from keys.notifications.digests import gather_digests, release_reminders
from keys.notifications.reminders import propose_unused, remind
from keys.notifications.words import words_for
from keys.states import RevocationReason
from tests.people import SYSTEM, World, acting, approved, issued, submitted

DAY = timedelta(days=1)


def told(kind: str) -> set[str]:
    return set(Notice.objects.filter(kind=kind).values_list("person__name", flat=True))


def lasting(world: World, environment: str = "prod") -> ManagedKey:
    """A key of 180 days whose secret ends with its authorisation."""
    key, _, _ = issued(world, environment=environment)
    now = clock.now()
    ManagedKey.objects.filter(pk=key.pk).update(authorised_until=now + 180 * DAY)
    KeyVersion.objects.filter(managed_key=key).update(expires_at=now + 180 * DAY)
    Rotation.objects.filter(managed_key=key).update(due_at=now + 400 * DAY)
    key.refresh_from_db()
    return key


def alone(world: World, days: int = 60) -> KeyVersion:
    """A secret that ends after `days`, long before its key does, and that no rotation replaces."""
    key, version, _ = issued(world)
    now = clock.now()
    ManagedKey.objects.filter(pk=key.pk).update(authorised_until=now + 180 * DAY)
    KeyVersion.objects.filter(pk=version.pk).update(expires_at=now + days * DAY)
    Rotation.objects.filter(managed_key=key).update(due_at=now + 400 * DAY)
    version.refresh_from_db()
    return version


@pytest.mark.parametrize("days", [30, 14, 7, 1])
def test_each_threshold_is_told_once_however_often_one_looks(world: World, days: int) -> None:
    key = lasting(world)
    just_before = key.authorised_until - days * DAY - timedelta(seconds=1)
    remind(at=just_before)
    before = Notice.objects.filter(params__days=days).count()
    assert before == 0
    at = just_before + timedelta(seconds=2)
    assert remind(at=at) == 1
    assert remind(at=at) == 0
    assert Notice.objects.filter(kind="reminder.key-ending", person=world.alice, params__days=days).count() == 1


def test_a_late_worker_tells_the_most_urgent_only(world: World) -> None:
    key = lasting(world)
    remind(at=key.authorised_until - timedelta(hours=2))
    notice = Notice.objects.get(person=world.alice, kind="reminder.key-ending")
    assert notice.params["days"] == 1
    assert Reminder.objects.filter(kind="key").count() == 1


def test_the_last_day_goes_to_who_answers_for_the_key_too(world: World) -> None:
    key = lasting(world)
    remind(at=key.authorised_until - 7 * DAY)
    assert told("reminder.key-ending") == {"Alice"}
    remind(at=key.authorised_until - DAY)
    assert told("reminder.key-ending") == {"Alice", "Bob", "Admin", "Admin2"}
    remind(at=key.authorised_until + timedelta(seconds=1))
    assert told("reminder.key-ended") == {"Alice", "Bob", "Admin", "Admin2"}


def test_administrators_are_left_in_peace_outside_production(world: World) -> None:
    key = lasting(world, environment="dev")
    remind(at=key.authorised_until - DAY)
    assert told("reminder.key-ending") == {"Alice", "Bob"}


def test_what_ended_long_ago_is_not_told(world: World) -> None:
    key = lasting(world)
    assert remind(at=key.authorised_until + 8 * DAY) == 0


def test_a_revoked_key_reminds_nobody(world: World) -> None:
    key = lasting(world)
    revoke_key(key, actor=acting(world.admin, "revoke"), reason=RevocationReason.SUPERSEDED)
    assert remind(at=key.authorised_until - DAY) == 0


def test_a_new_end_has_thresholds_of_its_own(world: World) -> None:
    key = lasting(world)
    remind(at=key.authorised_until - 7 * DAY)
    ManagedKey.objects.filter(pk=key.pk).update(authorised_until=key.authorised_until + 90 * DAY)
    KeyVersion.objects.update(expires_at=key.authorised_until + 90 * DAY)
    assert remind(at=key.authorised_until - 7 * DAY) == 0
    assert remind(at=key.authorised_until + 83 * DAY) == 1


def test_a_short_life_is_not_announced_to_end_when_it_begins(world: World) -> None:
    version = alone(world, days=5)
    remind(at=clock.now())
    assert not Notice.objects.filter(kind="reminder.version-ending").exists()
    assert version.expires_at is not None
    remind(at=version.expires_at - DAY)
    assert "Alice" in told("reminder.version-ending")


def test_a_version_is_told_of_only_where_no_rotation_comes_in_time(world: World) -> None:
    key, version, _ = issued(world)
    assert version.expires_at is not None
    assert remind(at=version.expires_at - DAY) == 0  # its rotation is due 14 days before
    Rotation.objects.update(due_at=version.expires_at + DAY)
    assert remind(at=version.expires_at - DAY) == 1
    assert "Alice" in told("reminder.version-ending")
    assert key.authorised_until > version.expires_at


def test_a_prepared_rotation_that_nobody_takes_is_told_of_in_the_last_week(world: World) -> None:
    key, version, _ = issued(world)
    start_rotation(key, actor=acting(world.anna, "claim"))
    assert version.expires_at is not None
    assert remind(at=version.expires_at - 10 * DAY) == 0
    remind(at=version.expires_at - 7 * DAY)
    notice = Notice.objects.get(kind="reminder.next-secret-waiting")
    assert notice.person == world.alice
    assert words_for(notice).path == f"/keys/{key.number}/"


def test_a_version_that_ended_with_nothing_after_it_is_told_of(world: World) -> None:
    version = alone(world)
    assert version.expires_at is not None
    remind(at=version.expires_at + timedelta(minutes=1))
    assert told("reminder.version-ended") == {"Alice", "Bob", "Admin", "Admin2"}


def test_an_unclaimed_secret_is_told_of_a_day_before_it_lapses_and_after(world: World) -> None:
    version = approved(world).versions.get()
    assert remind(at=version.claim_until - 2 * DAY) == 0
    remind(at=version.claim_until - DAY)
    remind(at=version.claim_until - timedelta(hours=1))
    assert told("reminder.claim-lapsing") == {"Alice"}
    remind(at=version.claim_until + timedelta(seconds=1))
    assert told("reminder.claim-lapsed") == {"Alice"}


def test_approvers_who_have_not_decided_are_nudged_a_day_before_a_request_lapses(world: World) -> None:
    request = submitted(world)
    approve_request(request, digest=request.digest, actor=acting(world.bob, "approve"))
    assert remind(at=request.lapses_at - DAY - timedelta(minutes=1)) == 0
    assert remind(at=request.lapses_at - DAY) == 1
    assert remind(at=request.lapses_at - timedelta(hours=1)) == 0
    assert told("reminder.request-lapsing") == {"Ben", "Carol"}


def _used(version: KeyVersion, at: datetime) -> None:
    hour = at.replace(minute=0, second=0, microsecond=0)
    UsageCount.objects.create(version=version, outcome="valid", hour=hour, count=1, last_at=at)


def test_an_unused_key_is_proposed_for_revocation_once_for_each_span(world: World) -> None:
    version = alone(world, days=170)
    now = clock.now()
    assert propose_unused(at=now + 89 * DAY) == 0
    assert propose_unused(at=now + 91 * DAY) == 1
    assert propose_unused(at=now + 92 * DAY) == 0
    assert told("reminder.key-unused") == {"Alice"}
    _used(version, now + 93 * DAY)
    assert propose_unused(at=now + 160 * DAY) == 0


def test_the_policy_says_how_long_unused_is(world: World) -> None:
    alone(world, days=170)
    at = clock.now() + 40 * DAY
    assert propose_unused(at=at) == 0
    production = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=production))
    policy = add_version(world.orders, production, replace(rules, unused_days=30), actor=SYSTEM, at=clock.now())
    ManagedKey.objects.update(policy=policy)
    assert propose_unused(at=at) == 1


def test_a_few_reminders_are_mails_and_many_are_one(world: World) -> None:
    for count, mails in ((5, 5), (6, 1)):
        Notice.objects.all().delete()
        Reminder.objects.all().delete()
        ManagedKey.objects.update(revoked_at=clock.now(), revoked_reason="superseded")
        keys = [lasting(world) for _ in range(count)]
        remind(at=keys[0].authorised_until - 7 * DAY + timedelta(minutes=1))
        assert not Notice.objects.unsent().filter(kind="reminder.key-ending").exists()
        assert release_reminders() == 1
        assert release_reminders() == 0
        assert Notice.objects.unsent().filter(person=world.alice).count() == mails
    digest = Notice.objects.get(kind="digest")
    assert digest.lines.count() == 6


def test_what_can_wait_goes_out_together_a_day_later(world: World) -> None:
    now = clock.now()
    for each in range(3):
        Notice.objects.create(
            event_uid=f"00000000-0000-4000-8000-00000000000{each}", person=world.alice, kind="rotation.completed",
            subject_type="rotation", subject_id="", created_at=now, delivery="digest",
        )  # fmt: skip
    assert gather_digests(at=now + timedelta(hours=23)) == 0
    assert gather_digests(at=now + DAY) == 1
    assert gather_digests(at=now + DAY) == 0
    assert Notice.objects.unsent().get().kind == "digest"
