"""Put many notices into one mail: where a sweep of reminders would flood somebody, and once a day what can wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import transaction

from audit import clock
from keys.models import Notice
from keys.models.notices import NoticeQuerySet
from keys.states import Delivery

MOST_MAILS = 5  # more reminders than this in one sweep come as one mail
PERIOD = timedelta(days=1)
DIGESTS = uuid5(NAMESPACE_URL, "keystead:digests")


def release_reminders(*, at: datetime | None = None) -> int:
    """Let what a sweep wrote go out: a few mails, or one for all of it; returns to how many people."""
    return _for_each(Notice.objects.held(), at or clock.now(), most=MOST_MAILS)


def gather_digests(*, at: datetime | None = None) -> int:
    """Send what waits for a digest when its first line is a day old; returns to how many people."""
    at = at or clock.now()
    waiting = Notice.objects.waiting_for_a_digest()
    people = waiting.filter(created_at__lte=at - PERIOD).values("person")
    return _for_each(waiting.filter(person__in=people), at, most=0)


def _for_each(waiting: NoticeQuerySet, at: datetime, *, most: int) -> int:
    people = list(waiting.order_by("person").values_list("person", flat=True).distinct())
    return sum(_let_go(waiting, person, at, most=most) for person in people)


def _let_go(waiting: NoticeQuerySet, person: UUID, at: datetime, *, most: int) -> bool:
    """Decide about the lines of one person under their lock: another worker finds them taken, or gone."""
    with transaction.atomic():
        lines = list(waiting.filter(person=person).order_by("id").select_for_update(skip_locked=True, of=("self",)))
        if not lines:
            return False
        rows = Notice.objects.filter(pk__in=[line.pk for line in lines])
        if len(lines) <= most:
            rows.update(delivery=str(Delivery.NOW))
        else:
            rows.update(delivery=str(Delivery.DIGEST), digest=_digest(person, lines, at))
    return True


def _digest(person: UUID, lines: Sequence[Notice], at: datetime) -> Notice:
    return Notice.objects.create(
        event_uid=uuid5(DIGESTS, f"{person}:{lines[0].pk}"),
        person_id=person,
        kind="digest",
        subject_type="person",
        subject_id=str(person),
        params={"lines": len(lines)},
        created_at=at,
    )
