"""List what can happen to the ways in which people are told."""

from __future__ import annotations

from audit.events import Event, Severity

QUIET_CHOICE = frozenset("id created_at person_id needs reminders changes news".split())
CALENDAR_FEED = frozenset("id created_at person_id team_id removed_at".split())


class QuietChoiceMade(Event):
    """Somebody chose how they are told of each family of messages."""

    action = "quiet-choice.made"
    target_type = "quiet-choice"
    severity = Severity.INFORMATIONAL
    change_fields = QUIET_CHOICE


class CalendarFeedMade(Event):
    """Somebody was shown an address from which a calendar program reads their rotations and expiries."""

    action = "calendar-feed.made"
    target_type = "calendar-feed"
    severity = Severity.LOW
    change_fields = CALENDAR_FEED


class CalendarFeedRemoved(Event):
    """An address for a calendar program answers nobody any more."""

    action = "calendar-feed.removed"
    target_type = "calendar-feed"
    severity = Severity.INFORMATIONAL
    change_fields = CALENDAR_FEED
