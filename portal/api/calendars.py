"""Make and end the addresses from which calendars read rotations and expiries. One's own only; programs have no calendar."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import Invalid
from keys.models import CalendarFeed, Team
from keys.people.calendar_feeds import make_feed, remove_feed
from portal.api.doors import found, offered
from portal.api.fields import Body, Nothing, Text
from portal.api.me import PEOPLE, Mine

S = serializers


class CalendarBody(Body):
    """Whose: a team of yours, or with null your own."""

    team = Text(max_length=40, allow_null=True)


class CalendarOut(S.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """An address; it is told when it is made, and never again. `read_at`: when a calendar last came, to the hour."""

    id = S.UUIDField()
    team = S.CharField(source="team.slug", allow_null=True, default=None)
    created_at = S.DateTimeField()
    read_at = S.DateTimeField(allow_null=True)
    removed_at = S.DateTimeField(allow_null=True)


class CalendarsOut(S.Serializer):  # type: ignore[type-arg]
    """Your addresses that answer."""

    calendars = CalendarOut(many=True)


class FreshCalendarOut(S.Serializer):  # type: ignore[type-arg]
    """An address that was just made, shown this once."""

    calendar = CalendarOut()
    address = S.CharField()


class MyCalendars(Mine):
    """My addresses."""

    @offered("me_calendars", gives=CalendarsOut, yes=PEOPLE, tag="me")
    def get(self, request: Request) -> Response:
        """List the addresses from which your calendars read."""
        rows = CalendarFeed.objects.visible_to(self.actor).living().select_related("team")
        return self.show(CalendarsOut, {"calendars": rows})

    @offered(
        "me_make_calendar", takes=CalendarBody, gives=FreshCalendarOut, status=201, yes=PEOPLE, replays=False, tag="me"
    )
    def post(self, request: Request) -> Response:
        """Make an address and take it, once; the one before answers nobody any more. With a step-up for `export`.

        It takes no Idempotency-Key: an answer with such an address is never kept.
        """
        slug = self.read(CalendarBody)["team"]
        team = Team.objects.visible_to(self.actor).living().filter(slug=slug).first() if slug is not None else None
        if slug is not None and team is None:
            raise Invalid.field("team", "unknown_team")
        fresh = make_feed(self.person(), actor=self.actor, team=team)
        calendar = CalendarOut(fresh.feed, context={"actor": self.actor}).data
        answer = Response({"calendar": calendar, "address": fresh.link.reveal()}, status=201)
        answer["Cache-Control"] = "no-store"
        return answer


class CalendarRemoval(Mine):
    """End an address."""

    @offered(
        "me_remove_calendar",
        takes=Nothing,
        gives=CalendarOut,
        yes="developer",
        hidden=PEOPLE,
        by_devices=False,
        tag="me",
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        """Let an address of yours answer nobody any more."""
        rows = CalendarFeed.objects.visible_to(self.actor).select_related("team")
        feed = found(rows, id)
        self.read(Nothing)
        remove_feed(feed, actor=self.actor)
        return self.show(CalendarOut, rows.get(pk=feed.pk))
