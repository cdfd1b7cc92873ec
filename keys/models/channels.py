"""Store how people want to be told, and the addresses from which their calendars read."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.people import Person, Team
from keys.models.reach import reach_of
from keys.states import Telling


@governed("quiet-choice")
class QuietChoice(Row):
    """How one person is told of each family of messages; who never chose has no row. The columns are the families' names."""

    person = models.OneToOneField(Person, on_delete=models.PROTECT, related_name="quiet_choice")
    needs = models.CharField(max_length=8, default=str(Telling.NOW))
    reminders = models.CharField(max_length=8, default=str(Telling.NOW))
    changes = models.CharField(max_length=8, default=str(Telling.NOW))
    news = models.CharField(max_length=8, default=str(Telling.DIGEST))

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=one_of("needs", Telling), name="quiet_choice_needs_known"),
            models.CheckConstraint(condition=one_of("reminders", Telling), name="quiet_choice_reminders_known"),
            models.CheckConstraint(condition=one_of("changes", Telling), name="quiet_choice_changes_known"),
            models.CheckConstraint(condition=one_of("news", Telling), name="quiet_choice_news_known"),
        ]

    def __str__(self) -> str:
        return str(self.person)


class CalendarFeedQuerySet(models.QuerySet["CalendarFeed"]):
    """Ways to find calendar feeds."""

    def visible_to(self, actor: Actor | None) -> CalendarFeedQuerySet:
        """People see their own; nobody reads another's calendar in their name."""
        person_id = reach_of(actor).person_id
        return self.none() if person_id is None else self.filter(person_id=person_id)

    def living(self) -> CalendarFeedQuerySet:
        """Those that nobody removed or replaced."""
        return self.filter(removed_at=None)


@governed(
    "calendar-feed",
    excluded={
        "link_hash": "the hash of the address that was shown once",
        "read_at": "when a calendar last came, to the hour: told to its person, no fact for the log",
    },
)
class CalendarFeed(Row):
    """An address that shows one person's rotations and expiries, or those of one team of theirs, to their calendar."""

    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="calendar_feeds")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="calendar_feeds")
    link_hash = models.CharField(max_length=200, blank=True, default="")
    read_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    objects = CalendarFeedQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(
                "person", "team", condition=Q(removed_at=None), nulls_distinct=False, name="calendar_feed_one_living"
            ),
            models.UniqueConstraint("link_hash", condition=~Q(link_hash=""), name="calendar_feed_link_unique"),
            models.CheckConstraint(
                condition=Q(removed_at=None) | Q(link_hash=""), name="calendar_feed_removed_is_shut"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.team or 'own'}"
