"""Answer people about themselves: what needs them, and how they are told."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit import clock
from keys.errors import NotFound
from keys.models import Person
from keys.notifications.choices import choice_of, choose_quiet
from keys.notifications.needs import NeedKind, needs_of
from keys.states import Telling
from portal.api.doors import Door, offered
from portal.api.fields import Body, Text
from portal.web.action_items import action_items

S = serializers
PEOPLE = "developer approver administrator responder auditor stranger"
MOST = 50  # of a kind
_TELLINGS = [str(each) for each in Telling]


class NeedOut(S.Serializer):  # type: ignore[type-arg]
    """One thing that waits, and the page where something is done about it."""

    kind = S.ChoiceField(choices=[str(each) for each in NeedKind])
    title = S.CharField()
    detail = S.CharField()
    environment = S.SerializerMethodField()
    path = S.CharField(source="href")

    def get_environment(self, item: Any) -> str | None:  # Any: an action item
        """Name the environment, where there is one."""
        return item.environment.tag if item.environment else None


class NeedsOut(S.Serializer):  # type: ignore[type-arg]
    """How much waits, and the most urgent of each kind; `page` shows it to people."""

    total = S.IntegerField()
    page = S.CharField()
    needs = NeedOut(many=True)


class QuietChoiceBody(Body):
    """For each family of messages: now, digest or quiet."""

    needs = Text(max_length=8)
    reminders = Text(max_length=8)
    changes = Text(max_length=8)
    news = Text(max_length=8)


class QuietChoiceOut(S.Serializer):  # type: ignore[type-arg]
    """How somebody is told of each family of messages. What may be an attack, and what has ended, is always told at once."""

    needs = S.ChoiceField(choices=_TELLINGS)
    reminders = S.ChoiceField(choices=_TELLINGS)
    changes = S.ChoiceField(choices=_TELLINGS)
    news = S.ChoiceField(choices=_TELLINGS)


class MyNeeds(Door):
    """What needs me."""

    @offered("me_needs", gives=NeedsOut, yes=PEOPLE, tag="me")
    def get(self, request: Request) -> Response:
        """List what waits for you, the most urgent kind first, at most 50 of a kind."""
        at = clock.now()
        found = needs_of(self.actor, at=at)
        items = action_items(self.actor, found, at=at, most=MOST)
        return self.show(NeedsOut, {"total": found.total, "page": reverse("needs"), "needs": items})


class Mine(Door):
    """A door about whoever calls."""

    def person(self) -> Person:
        """The row of whoever calls."""
        row: Person | None = Person.objects.visible_to(self.actor).filter(pk=self.actor.id).first()
        if row is None:
            raise NotFound
        return row


class MyNotifications(Mine):
    """How I am told."""

    @offered("me_notifications", gives=QuietChoiceOut, yes=PEOPLE, tag="me")
    def get(self, request: Request) -> Response:
        """Show how you are told of each family of messages."""
        return self.show(QuietChoiceOut, choice_of(self.person()))


class MyChoice(Mine):
    """Choose how I am told."""

    @offered("me_choose", takes=QuietChoiceBody, gives=QuietChoiceOut, yes=PEOPLE, by_devices=False, tag="me")
    def post(self, request: Request) -> Response:
        """Choose how you are told: `now`, `digest` (one mail a day) or `quiet` for each family of messages."""
        choice = self.read(QuietChoiceBody)
        return self.show(QuietChoiceOut, choose_quiet(self.person(), actor=self.actor, choice=choice))
