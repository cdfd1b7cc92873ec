"""Tell owners which clients still use the old secret: once a day, and before it is refused for the first time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid5

from django.db import transaction

from audit import clock
from keys.lifecycle.inventory import end_of_version
from keys.models import Notice, Reminder, Rotation
from keys.monitoring.laggards import laggards_of, with_laggards
from keys.notifications.chats import owning_teams, remind_chats
from keys.notifications.reminders import REMINDERS, Circle, active_people, write_reminders
from keys.verification.brownouts import brownouts

SLOTS: Final = "laggards"
DAY: Final = timedelta(days=1)
# Before the first refusal: long enough to change a program over, so late that most have been.
LEAD: Final = timedelta(hours=1)
# Whoever has just received the new secret is not reminded of it.
GRACE: Final = timedelta(minutes=15)
# A daily reminder so soon after the warning would say the same again.
APART: Final = timedelta(hours=12)


def remind_of_laggards(*, at: datetime | None = None) -> int:
    """Write the reminders that are due; returns about how many rotations. Several workers are harmless."""
    at, circle, told = at or clock.now(), Circle(), 0
    related = ("managed_key__policy", "managed_key__service", "managed_key__environment", "old_version", "new_version")
    for rotation in with_laggards(Rotation.objects.all(), at=at).select_related(*related).iterator(chunk_size=200):
        with transaction.atomic():
            told += _warn(rotation, circle, at) or _remind(rotation, circle, at)
    return told


def first_refusal(rotation: Rotation) -> datetime | None:
    """When the old version is refused for the first time: at its first brownout, or at its end; None while that is open."""
    old, new, policy = rotation.old_version, rotation.new_version, rotation.managed_key.policy
    if old is None or new is None or new.activated_at is None:
        return None
    if policy is not None and policy.brownouts and old.retire_at is not None:
        for begin, _end in brownouts(old.retire_at, both_since=new.activated_at):
            return begin
    return end_of_version(old)


def _warn(rotation: Rotation, circle: Circle, at: datetime) -> bool:
    """Tell that the refusals begin; the slot is the instant of the first one."""
    refused_at = first_refusal(rotation)
    if refused_at is None or rotation.activated_at is None:
        return False
    if not max(refused_at - LEAD, rotation.activated_at + GRACE) <= at < refused_at:
        return False
    if not _is_first(rotation, refused_at, days=1, at=at):
        return False
    _tell(
        rotation,
        "reminder.laggards-refused",
        refused_at,
        circle,
        at,
        params={"until": refused_at.isoformat(), "days": 1},
    )
    return True


def _remind(rotation: Rotation, circle: Circle, at: datetime) -> bool:
    """Tell once in each whole day since both work; the slot is the beginning of that day."""
    assert rotation.activated_at is not None  # with_laggards asked for it
    days = (at - rotation.activated_at) // DAY
    slot = rotation.activated_at + days * DAY
    if days < 1 or not laggards_of(rotation, at=at):
        return False
    lately = Reminder.objects.filter(kind=SLOTS, subject_id=rotation.pk, at__gt=at - APART).exists()
    if not _is_first(rotation, slot, days=0, at=at) or lately:
        return False
    _tell(rotation, "reminder.laggards", slot, circle, at, params={})
    return True


def _is_first(rotation: Rotation, slot: datetime, *, days: int, at: datetime) -> bool:
    _reminder, is_new = Reminder.objects.get_or_create(
        kind=SLOTS, subject_id=rotation.pk, ends_at=slot, days_before=days, defaults={"at": at}
    )
    return is_new


def _tell(
    rotation: Rotation, kind: str, slot: datetime, circle: Circle, at: datetime, *, params: dict[str, object]
) -> None:
    facts: dict[str, Any] = {
        "event_uid": uuid5(REMINDERS, f"{SLOTS}:{rotation.pk}:{slot.isoformat()}:{kind}"),
        "kind": kind,
        "subject_type": "rotation",
        "subject_id": str(rotation.pk),
        "params": params,
        "created_at": at,
    }
    people = active_people(circle.of_claim(rotation.managed_key))
    write_reminders([Notice(person_id=person, **facts) for person in people])
    remind_chats([(Notice(**facts), owning_teams(rotation))], at=at)
