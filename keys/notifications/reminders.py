"""Remind people by the clock before something they depend on ends: each threshold once, however late the worker is.

A reminder changes nothing that is governed and grants nothing, so it is no event: the Reminder row makes it happen once, and
its Notice rows say who was told (docs/decisions/062).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import transaction

from audit import clock
from keys.models import KeyRequest, ManagedKey, Notice, Person, Reminder
from keys.notifications import audience, endings
from keys.notifications.audience import People
from keys.notifications.chats import Teams, deciding_teams, owning_teams, remind_chats
from keys.notifications.families import choices_of, delivery_of_reminder
from keys.states import EnvironmentClass, RequestState, Role, TeamRole

BATCH = 500
REMINDERS = uuid5(NAMESPACE_URL, "keystead:reminders")  # names the mail of a reminder, as an event's id does


class Circle:
    """Who is reminded of what; teams are asked for once a sweep."""

    def __init__(self) -> None:
        self.team = functools.cache(audience.people_in)
        self.chosen = functools.cache(audience.people_chosen)
        self.role = functools.cache(audience.people_with)

    def of_key(self, key: ManagedKey, days: int) -> People:
        """The recipient and whom the owner team chose; on the last day and after, those who answer for it too."""
        people = self.chosen(key.owner_team_id) | {key.recipient_id}
        if days <= 1:
            people = people | self.team(key.service.owner_team_id, TeamRole.LEAD)
            if key.environment.environment_class == EnvironmentClass.PRODUCTION:
                people = people | self.role(Role.ADMINISTRATOR)
        return {person for person in people if person is not None}

    def of_claim(self, key: ManagedKey) -> People:
        """Only the recipient can claim; the leads can name another."""
        people = self.chosen(key.owner_team_id) | {key.recipient_id}
        return {person for person in people if person is not None}


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of ending: how it is found, what the reminder is called, who is told."""

    name: str
    subject_type: str
    find: Callable[[datetime], endings.Found]
    kind: Callable[[Any], str]
    people: Callable[[Circle, Any], People]


def _version_kind(version: Any) -> str:
    if version.reached == 0:
        return "reminder.version-ended"
    return "reminder.next-secret-waiting" if version.is_prepared else "reminder.version-ending"


def _request_people(_circle: Circle, request: KeyRequest) -> People:
    if request.state == RequestState.RETURNED:
        return audience.requesters(request)
    return audience.approvers(request)


FAMILIES = (
    Family(
        name="key",
        subject_type="key",
        find=endings.ending_keys,
        kind=lambda key: "reminder.key-ending" if key.reached else "reminder.key-ended",
        people=lambda circle, key: circle.of_key(key, key.reached),
    ),
    Family(
        name="version",
        subject_type="version",
        find=endings.ending_versions,
        kind=_version_kind,
        people=lambda circle, version: circle.of_key(version.managed_key, version.reached),
    ),
    Family(
        name="claim",
        subject_type="version",
        find=endings.lapsing_claims,
        kind=lambda version: "reminder.claim-lapsing" if version.reached else "reminder.claim-lapsed",
        people=lambda circle, version: circle.of_claim(version.managed_key),
    ),
    Family(
        name="request",
        subject_type="request",
        find=endings.lapsing_requests,
        kind=lambda request: (
            "reminder.question-waiting" if request.state == RequestState.RETURNED else "reminder.request-lapsing"
        ),
        people=_request_people,
    ),
)
ENDS = ("key", "version")
UNUSED = Family(
    name="unused",
    subject_type="key",
    find=endings.unused_keys,
    kind=lambda _key: "reminder.key-unused",
    people=lambda circle, key: circle.of_claim(key),
)


def remind(*, at: datetime | None = None) -> int:
    """Write the reminders that are due; returns of how many things. Several workers are harmless."""
    at, circle = at or clock.now(), Circle()
    return sum(_remind_of(family, circle, at) for family in FAMILIES)


def propose_unused(*, at: datetime | None = None) -> int:
    """Propose keys that nobody uses for revocation; returns how many."""
    return _remind_of(UNUSED, Circle(), at or clock.now())


def _remind_of(family: Family, circle: Circle, at: datetime) -> int:
    told = 0
    for rows in endings.batches(family.find(at), BATCH):
        with transaction.atomic():
            told += _write(family, rows, circle, at)
    return told


def _write(family: Family, rows: list[Any], circle: Circle, at: datetime) -> int:
    """Write down each threshold, and a notice for each person where this worker was the first to write it."""
    mine = {row.pk for row in rows if _is_first(family, row, at)}
    telling = [row for row in rows if row.pk in mine and endings.worth_telling(row)]
    told = [(row, _facts(family, row, at)) for row in telling]
    write_reminders(
        [
            Notice(person_id=person, **facts)
            for row, facts in told
            for person in active_people(family.people(circle, row))
        ]
    )
    remind_chats([(Notice(**facts), _teams(family, row)) for row, facts in told], at=at)
    return len(mine)


def write_reminders(notices: Sequence[Notice]) -> None:
    """Write notices as their people chose to be reminded.

    Whoever is told more than a few things in one sweep gets one mail, so what goes out at once waits until the sweep is over.
    """
    choices = choices_of({notice.person_id for notice in notices})
    for notice in notices:
        days = notice.params.get("days")
        notice.delivery = str(delivery_of_reminder(notice.kind, choices.get(notice.person_id), days=days))
    Notice.objects.bulk_create(notices, ignore_conflicts=True)


def _is_first(family: Family, row: Any, at: datetime) -> bool:
    """Two workers that sweep at once wait for each other here, and the second finds the row."""
    _reminder, is_new = Reminder.objects.get_or_create(
        kind=family.name, subject_id=row.pk, ends_at=row.end, days_before=row.reached, defaults={"at": at}
    )
    return is_new


def active_people(people: People) -> list[UUID]:
    """Those who still have a place here."""
    return list(Person.objects.active().filter(pk__in=people).values_list("pk", flat=True)) if people else []


def _teams(family: Family, row: Any) -> Teams:
    """Whose chats are reminded: the owners'; of an end on the last day and after, those who answer for the service too."""
    if isinstance(row, KeyRequest):
        return owning_teams(row) if row.state == RequestState.RETURNED else deciding_teams(row)
    key = row if isinstance(row, ManagedKey) else row.managed_key
    return owning_teams(key) | (
        {key.service.owner_team_id} if family.name in ENDS and row.reached <= 1 else frozenset()
    )


def _facts(family: Family, row: Any, at: datetime) -> dict[str, Any]:
    """What a notice of this reminder holds, whoever is told."""
    slot = f"{family.name}:{row.pk}:{row.end.isoformat()}:{row.reached}"
    return {
        "event_uid": uuid5(REMINDERS, slot),
        "kind": family.kind(row),
        "subject_type": family.subject_type,
        "subject_id": str(row.pk),
        "params": {"until": row.end.isoformat(), "days": row.reached},
        "created_at": at,
    }
