"""Owners hear which clients are still on the old secret: once a day, before the first refusal, and not when all have moved."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail

from audit import clock
from keys.catalogue.policies import add_version, rules_of
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.revocation import revoke_key
from keys.lifecycle.rotation import start_rotation
from keys.models import Environment, KeyVersion, Notice, Policy, Rotation, Sighting
from keys.monitoring.laggards import laggards_of, with_laggards
from keys.notifications.digests import release_reminders
from keys.notifications.laggards import first_refusal, remind_of_laggards
from keys.notifications.mail import send_waiting
from keys.states import Overlap, RevocationReason
from keys.webhooks.chats import add_chat
from tests.people import SYSTEM, World, acting, issued

pytestmark = pytest.mark.django_db
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def rotation(world: World) -> Rotation:
    """Both secrets of Alice's key work, for a week."""
    return both_work(world, Overlap.WEEK)


def both_work(world: World, overlap: Overlap) -> Rotation:
    key, _, _ = issued(world)
    rotation = start_rotation(key, overlap=overlap, actor=acting(world.anna, "claim"))
    assert rotation.new_version is not None
    claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    return Rotation.objects.select_related("old_version", "new_version", "managed_key__policy").get(pk=rotation.pk)


def seen(version: KeyVersion | None, *, at: datetime, **who: Any) -> None:
    assert version is not None
    facts = {"address": "10.0.0.5", "user_agent": "report/2", "instance": "a", **who}
    Sighting.objects.update_or_create(version=version, **facts, defaults={"first_at": at, "last_at": at, "count": 1})


def told(kind: str = "reminder.laggards") -> set[str]:
    return set(Notice.objects.filter(kind=kind).values_list("person__name", flat=True))


def test_owners_are_told_once_a_day_however_often_it_is_swept(world: World, rotation: Rotation) -> None:
    began = rotation.activated_at
    assert began is not None
    seen(rotation.old_version, at=began + HOUR)
    assert remind_of_laggards(at=began + 23 * HOUR) == 0, "they have a day"
    for hours in (25, 26, 40):
        remind_of_laggards(at=began + timedelta(hours=hours))
    assert told() == {"Alice"}
    assert Notice.objects.count() == 1
    remind_of_laggards(at=began + 49 * HOUR)
    assert Notice.objects.count() == 2


def test_the_mail_names_them_as_things_stand_when_it_is_sent(world: World, rotation: Rotation) -> None:
    now = clock.now()
    Rotation.objects.filter(pk=rotation.pk).update(activated_at=now - DAY - HOUR)
    seen(rotation.old_version, at=now - HOUR, user_agent="report/2\n<b>")
    seen(rotation.old_version, at=now - HOUR, address="10.0.0.6", instance="b")
    seen(rotation.new_version, at=now, address="10.0.0.6", instance="b")
    remind_of_laggards()
    release_reminders()
    assert send_waiting() >= 1
    (message,) = [each for each in mail.outbox if "old secret" in each.subject]
    assert "(1)" in message.subject
    assert "10.0.0.5 report/2 <b> a" in message.body
    assert "10.0.0.6" not in message.body
    assert f"/keys/{rotation.managed_key.number}/rotation/" in message.body
    assert "&lt;b&gt;" in str(message.alternatives[0][0])  # type: ignore[attr-defined]


def test_when_all_have_moved_before_the_mail_goes_out_it_does_not(world: World, rotation: Rotation) -> None:
    now = clock.now()
    Rotation.objects.filter(pk=rotation.pk).update(activated_at=now - DAY - HOUR)
    seen(rotation.old_version, at=now - HOUR)
    remind_of_laggards()
    release_reminders()
    seen(rotation.new_version, at=now)
    sent = send_waiting()
    assert sent == len(mail.outbox)
    assert not [each for each in mail.outbox if "old secret" in each.subject]
    assert Notice.objects.get(kind="reminder.laggards").sent_at is not None


@pytest.mark.parametrize("brownouts", [False, True])
def test_before_the_first_refusal_they_are_told_once_more(world: World, brownouts: bool) -> None:
    production = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=world.orders, environment=production))
    add_version(world.orders, production, replace(rules, brownouts=brownouts), actor=SYSTEM, at=clock.now())
    rotation = both_work(world, Overlap.WEEK)
    old = rotation.old_version
    assert old is not None
    assert old.retire_at is not None
    first = first_refusal(rotation)
    assert first == old.retire_at - (DAY if brownouts else timedelta())
    seen(old, at=first - 3 * HOUR)
    remind_of_laggards(at=first - 2 * HOUR)
    Notice.objects.all().delete()
    for minutes in (50, 40, 5):
        remind_of_laggards(at=first - timedelta(minutes=minutes))
    assert told("reminder.laggards-refused") == {"Alice"}
    assert Notice.objects.count() == 1, "and no daily one right after it"


def test_a_short_overlap_is_told_of_once_and_not_at_once(world: World) -> None:
    rotation = both_work(world, Overlap.HOUR)
    began = rotation.activated_at
    assert began is not None
    seen(rotation.old_version, at=began + timedelta(minutes=1))
    remind_of_laggards(at=began + timedelta(minutes=10))
    assert told("reminder.laggards-refused") == set()
    remind_of_laggards(at=began + timedelta(minutes=20))
    remind_of_laggards(at=began + timedelta(minutes=30))
    assert told("reminder.laggards-refused") == {"Alice"}


def test_nobody_is_told_of_what_is_over_or_of_clients_that_moved(world: World, rotation: Rotation) -> None:
    began = rotation.activated_at
    assert began is not None
    assert remind_of_laggards(at=began + 25 * HOUR) == 0, "nobody was seen"
    seen(rotation.old_version, at=began + HOUR)
    seen(rotation.new_version, at=began + 2 * HOUR)
    assert remind_of_laggards(at=began + 25 * HOUR) == 0, "it has moved"
    seen(rotation.old_version, at=began + 3 * HOUR)
    revoke_key(rotation.managed_key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    assert remind_of_laggards(at=began + 25 * HOUR) == 0
    assert not Notice.objects.exists()


def test_a_chat_of_the_team_hears_it_too(world: World, rotation: Rotation) -> None:
    chat = add_chat(
        world.reporting, url="https://hooks.example.com/x", kinds=["reminders"], description="Chat",
        actor=acting(world.alice, "webhooks"),
    )  # fmt: skip
    at = clock.now() + 25 * HOUR
    seen(rotation.old_version, at=at - HOUR)
    remind_of_laggards(at=at)
    assert [row.action for row in chat.deliveries.all()] == ["reminder.laggards"]


CLIENTS: list[dict[str, Any]] = [
    {}, {"address": None}, {"address": None, "user_agent": "", "instance": ""}, {"address": "2001:db8::1"},
    {"instance": "b"}, {"user_agent": "other"},
]  # fmt: skip


def test_the_database_and_the_page_agree_on_who_lags(world: World, rotation: Rotation) -> None:
    at, minute = clock.now() + 5 * HOUR, timedelta(minutes=1)
    for on_old, on_new, ago, apart in itertools.product(
        CLIENTS, [None, *CLIENTS], (5 * minute, HOUR), (-minute, minute)
    ):
        Sighting.objects.all().delete()
        seen(rotation.old_version, at=at - ago, **on_old)
        if on_new is not None:
            seen(rotation.new_version, at=at - ago + apart, **on_new)
        found = with_laggards(Rotation.objects.all(), at=at)
        assert found.exists() == bool(laggards_of(rotation, at=at)), (on_old, on_new, ago, apart)
