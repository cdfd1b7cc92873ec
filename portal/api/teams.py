"""Show a team, and choose whom of it mails about its keys reach. Programs do not: they are told by webhooks."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from keys.errors import NotFound
from keys.models import Team
from keys.notifications.choices import choose_team_mail
from keys.states import TeamMail
from portal.api.doors import Door, offered
from portal.api.fields import Body, Text
from portal.api.me import PEOPLE

S = serializers


class TeamMailBody(Body):
    """Whom mails reach: leads or members."""

    mail_to = Text(max_length=8)


class TeamOut(S.Serializer):  # type: ignore[type-arg]  # DRF's Serializer is generic in the stubs only
    """A team. Whoever receives a secret is mailed in any case."""

    id = S.UUIDField()
    slug = S.CharField()
    name = S.CharField()
    mail_to = S.ChoiceField(choices=[str(each) for each in TeamMail])
    created_at = S.DateTimeField()
    retired_at = S.DateTimeField(allow_null=True)


class TeamDoor(Door):
    """Find a team by its short name."""

    def row(self, slug: str) -> Team:
        """Return the team."""
        team: Team | None = Team.objects.visible_to(self.actor).filter(slug=slug).first()
        if team is None:
            raise NotFound
        return team


class OneTeam(TeamDoor):
    """One team."""

    @offered("teams_retrieve", gives=TeamOut, yes=PEOPLE, tag="teams")
    def get(self, request: Request, slug: str) -> Response:
        """Show a team, and whom of it mails reach."""
        return self.show(TeamOut, self.row(slug))


class MailChoice(TeamDoor):
    """Choose whom mails reach."""

    @offered(
        "teams_choose_mail",
        takes=TeamMailBody,
        gives=TeamOut,
        yes="developer administrator",
        by_devices=False,
        tag="teams",
    )
    def post(self, request: Request, slug: str) -> Response:
        """Choose whether all members or the leads are mailed about the team's keys. Its leads, and administrators."""
        team = self.row(slug)
        body = self.read(TeamMailBody)
        return self.show(TeamOut, choose_team_mail(team, actor=self.actor, **body))
