"""List what can happen to people, teams and standing in for one another."""

from __future__ import annotations

from audit.events import Event, Severity

PERSON = frozenset("id created_at email name roles is_active deactivated_at erased_at".split())
TEAM = frozenset("id created_at slug name description mail_to retired_at".split())
MEMBERSHIP = frozenset("id created_at team_id person_id roles ended_at".split())
DELEGATION = frozenset("id created_at person_id delegate_id starts_at ends_at ended_at".split())


class PersonInvited(Event):
    """A person was given a place, to be taken by an invitation."""

    action = "person.invited"
    target_type = "person"
    change_fields = PERSON


class PersonChanged(Event):
    """A person's name or address changed."""

    action = "person.changed"
    target_type = "person"
    change_fields = PERSON


class PersonRolesChanged(Event):
    """What a person does for the whole organisation changed."""

    action = "person.roles-changed"
    target_type = "person"
    severity = Severity.LOW
    change_fields = PERSON


class PersonDeactivated(Event):
    """A person may no longer sign in or act."""

    action = "person.deactivated"
    target_type = "person"
    severity = Severity.LOW
    change_fields = PERSON


class PersonReactivated(Event):
    """A deactivated person may sign in again."""

    action = "person.reactivated"
    target_type = "person"
    severity = Severity.LOW
    change_fields = PERSON


class TeamCreated(Event):
    """A team was formed."""

    action = "team.created"
    target_type = "team"
    change_fields = TEAM


class TeamChanged(Event):
    """A team's name or description changed."""

    action = "team.changed"
    target_type = "team"
    change_fields = TEAM


class TeamMailChosen(Event):
    """A team chose which of its members are mailed about its keys."""

    action = "team.mail-chosen"
    target_type = "team"
    severity = Severity.LOW
    change_fields = TEAM


class TeamRetired(Event):
    """A team ended; it owns nothing that lives."""

    action = "team.retired"
    target_type = "team"
    change_fields = TEAM


class MemberAdded(Event):
    """A person joined a team."""

    action = "membership.added"
    target_type = "membership"
    change_fields = MEMBERSHIP


class MemberRolesChanged(Event):
    """What a person does in a team changed."""

    action = "membership.roles-changed"
    target_type = "membership"
    change_fields = MEMBERSHIP


class MemberRemoved(Event):
    """A person left a team."""

    action = "membership.ended"
    target_type = "membership"
    change_fields = MEMBERSHIP


class DelegateNamed(Event):
    """A colleague was named to decide during an absence."""

    action = "delegation.named"
    target_type = "delegation"
    change_fields = DELEGATION


class DelegationEnded(Event):
    """A delegation ended before its time."""

    action = "delegation.ended"
    target_type = "delegation"
    change_fields = DELEGATION
