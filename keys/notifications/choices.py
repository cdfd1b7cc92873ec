"""Let people choose how they are told of each family of messages, and teams whom of them."""

from __future__ import annotations

from collections.abc import Mapping

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import QuietChoiceMade, TeamMailChosen
from keys.models import Person, QuietChoice, Team
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.channel_rules import may_choose_quiet, may_choose_team_mail
from keys.policy.enforcement import enforce
from keys.states import MessageFamily, TeamMail, Telling


@operation
def choose_quiet(person: Person, *, actor: Actor, choice: Mapping[str, str]) -> QuietChoice:
    """Choose for each family: a mail at once, a digest, or quiet. Compromises, the account and what has ended are never quiet."""
    person = locked(person)  # two first choices at once wait for each other here
    at = clock.now()
    enforce(may_choose_quiet(standing_of(actor, at=at), person_id=person.pk))
    columns = {str(family): _telling(choice, family) for family in MessageFamily}
    row = QuietChoice.objects.filter(person=person).first()
    if row is None:
        return insert(QuietChoice(person=person, created_at=at, **columns), QuietChoiceMade, actor=actor, at=at)
    row = locked(row)
    if all(getattr(row, name) == value for name, value in columns.items()):
        return row
    return update(row, QuietChoiceMade, actor=actor, at=at, columns=columns)


def choice_of(person: Person) -> QuietChoice:
    """What a person chose, or what holds until they do."""
    return QuietChoice.objects.filter(person=person).first() or QuietChoice(person=person)


def _telling(choice: Mapping[str, str], family: MessageFamily) -> str:
    try:
        return str(Telling(choice[family]))
    except (KeyError, ValueError) as unknown:
        raise Invalid.field(str(family), "unknown_choice", choices=[str(each) for each in Telling]) from unknown


@operation
def choose_team_mail(team: Team, *, actor: Actor, mail_to: str) -> Team:
    """Choose whether all members or the leads are mailed about a team's keys; whoever receives a secret always is."""
    team = locked(team)
    at = clock.now()
    enforce(may_choose_team_mail(standing_of(actor, at=at), team_id=team.pk))
    if mail_to not in set(TeamMail):
        raise Invalid.field("mail_to", "unknown_choice", choices=[str(each) for each in TeamMail])
    if team.retired_at is not None:
        raise Conflict("team_retired")
    if team.mail_to == mail_to:
        return team
    return update(team, TeamMailChosen, actor=actor, at=at, expected={"retired_at": None}, columns={"mail_to": mail_to})
