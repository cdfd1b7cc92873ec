"""Let administrators form teams and say who does what in them; end delegations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import clock
from audit.actor import Actor
from keys.admin.acts import Act, ActForm, Terms, Words, chosen, titled
from keys.admin.cells import Table, badge, drawn, link, moment, table_of_keys, tags
from keys.admin.pages import OperationAdmin
from keys.admin.people import PEOPLE
from keys.models import Delegation, ManagedKey, Membership, Person, Service, Team
from keys.people.delegates import end_delegation
from keys.people.teams import (
    add_member,
    change_member_roles,
    change_team,
    create_team,
    end_membership,
    retire_team,
)
from keys.states import TeamRole


class TeamForm(ActForm):
    """Words about a team."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    description = forms.CharField(label=gettext_lazy("What it does"), max_length=500, required=False)


class NewTeamForm(TeamForm):
    """A team and its short name."""

    slug = forms.CharField(
        label=gettext_lazy("Short name"),
        max_length=40,
        help_text=gettext_lazy("Lower-case words joined by hyphens. It never changes."),
    )
    field_order = ("slug", "name", "description")


class TeamRolesForm(ActForm):
    """Roles in a team."""

    roles = chosen(lambda: titled(TeamRole))
    roles.label = gettext_lazy("Roles in the team")


class MemberForm(TeamRolesForm):
    """A person for a team."""

    person = forms.ModelChoiceField(label=gettext_lazy("Person"), queryset=Person.objects.none())
    field_order = ("person", "roles")

    def fit(self) -> None:
        """Offer who is not in the team yet."""
        within = Membership.objects.filter(team__in=[row.pk for row in self.rows], ended_at=None).values("person_id")
        asked = self.fields["person"]
        assert isinstance(asked, forms.ModelChoiceField)
        asked.queryset = Person.objects.active().exclude(pk__in=within)


class CreateTeam(Act[Team]):
    """Form a team."""

    name, label, icon = "create", gettext_lazy("Form a team"), "plus"
    purpose, form, makes, done = "people", NewTeamForm, True, gettext_lazy("The team was formed.")

    def run(self, row: Team | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        return create_team(cleaned["slug"], name=cleaned["name"], description=cleaned["description"], actor=actor)


class ChangeTeam(Act[Team]):
    """Change the words about a team."""

    name, label, purpose, form = "change", gettext_lazy("Change"), "people", TeamForm
    done = gettext_lazy("The team was changed.")

    def is_offered(self, row: Team) -> bool:
        """While it stands."""
        return row.retired_at is None

    def initial(self, row: Team) -> Mapping[str, Any]:
        """The present words."""
        return {"name": row.name, "description": row.description}

    def run(self, row: Team | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return change_team(row, name=cleaned["name"], description=cleaned["description"], actor=actor)


class AddMember(Act[Team]):
    """Let a person join."""

    name, label, icon = "add-member", gettext_lazy("Add a member"), "user-plus"
    purpose, form, done = "people", MemberForm, gettext_lazy("The person joined the team.")
    is_offered = ChangeTeam.is_offered

    def run(self, row: Team | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        add_member(row, person=cleaned["person"], roles=cleaned["roles"], actor=actor)
        return row


class RetireTeam(Act[Team]):
    """End a team."""

    name, label, icon, tone = "retire", gettext_lazy("Retire"), "archive", "danger"
    purpose, done = "people", gettext_lazy("The team has ended.")
    is_offered = ChangeTeam.is_offered

    def consequences(self, rows: Sequence[Team]) -> list[Words]:
        """What follows."""
        return [
            _("All memberships of the team end."),
            _("It is refused while the team owns services, living keys or open requests."),
        ]

    def preview(self, row: Team, *, actor: Actor, at: Any) -> Terms:
        """What hangs on the team."""
        return [
            (_("Members"), Membership.objects.visible_to(actor).living().filter(team=row).count()),
            (_("Services"), Service.objects.visible_to(actor).living().filter(owner_team=row).count()),
            (_("Living keys"), ManagedKey.objects.visible_to(actor).living(at).filter(owner_team=row).count()),
        ]

    def phrase(self, rows: Sequence[Team]) -> str:
        """The short name."""
        return rows[0].slug if rows else ""

    def run(self, row: Team | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        retire_team(row, actor=actor)
        return row


class ChangeMemberRoles(Act[Membership]):
    """Change what a member does."""

    name, label, icon = "roles", gettext_lazy("Change roles"), "shield"
    purpose, form, done = "people", TeamRolesForm, gettext_lazy("The roles were changed.")

    def is_offered(self, row: Membership) -> bool:
        """While it lasts."""
        return row.ended_at is None

    def initial(self, row: Membership) -> Mapping[str, Any]:
        """The present roles."""
        return {"roles": row.roles}

    def run(self, row: Membership | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return change_member_roles(row, roles=cleaned["roles"], actor=actor)


class EndMembership(Act[Membership]):
    """Let a member leave."""

    name, label, icon, tone = "end", gettext_lazy("Take out of the team"), "user-minus", "danger"
    purpose, done = "people", gettext_lazy("The person left the team.")
    is_offered = ChangeMemberRoles.is_offered

    def consequences(self, rows: Sequence[Membership]) -> list[Words]:
        """What follows."""
        return [
            _("Approvals given in open requests no longer count if they rested on this membership."),
            _(
                "Keys stay alive; secrets this person claimed are known to them still. Rotate or revoke where it matters."
            ),
        ]

    def run(self, row: Membership | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        end_membership(row, actor=actor)
        return row.team


class EndDelegation(Act[Delegation]):
    """End a delegation before its time."""

    name, label, icon, tone = "end", gettext_lazy("End"), "user-minus", "danger"
    purpose, done = "people", gettext_lazy("The delegation is over.")

    def is_offered(self, row: Delegation) -> bool:
        """While it lasts."""
        return row.ended_at is None and row.ends_at > clock.now()

    def run(self, row: Delegation | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        end_delegation(row, actor=actor)
        return row


@admin.register(Team)
class TeamAdmin(OperationAdmin[Team]):
    """Teams."""

    group, target_type = PEOPLE, "team"
    many = gettext_lazy("Teams")
    acts = (CreateTeam(), ChangeTeam(), AddMember(), RetireTeam())
    shown = ("slug", "name", "description", "created_at", "retired_at")
    list_display = ("name", "slug", "description", "members_shown", "state_shown")
    list_filter = (("retired_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "slug", "description")

    def get_queryset(self, request: Any) -> models.QuerySet[Team]:
        """With the number of members, for the list."""
        counted = models.Count("memberships", filter=models.Q(memberships__ended_at=None))
        return super().get_queryset(request).annotate(member_count=counted)

    @admin.display(description=gettext_lazy("members"), ordering="member_count")
    def members_shown(self, row: Any) -> int:
        """How many."""
        return int(row.member_count)

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: Team) -> object:
        """Whether it stands."""
        return badge("neutral", _("Retired")) if row.retired_at else badge("success", _("Active"))

    def tables(self, row: Team) -> list[Table]:
        """Members, services, keys."""
        members = row.memberships.filter(ended_at=None).select_related("person", "team")
        keys = row.keys.select_related("service", "environment").filter(revoked_at=None)[:50]
        return [
            Table(
                title=_("Members"),
                heads=(_("Person"), _("Roles"), _("Since"), _("Membership")),
                rows=[
                    (link(each.person), tags(each.roles), moment(each.created_at), link(each, _("Open")))
                    for each in members
                ],
                empty=_("Nobody yet."),
            ),
            Table(
                title=_("Services"),
                heads=(_("Service"), _("Short name"), _("Retires")),
                rows=[(link(each), each.slug, drawn(each.retires_at)) for each in row.services.all()],
                empty=_("None."),
            ),
            table_of_keys(_("Keys that are not revoked"), keys),
        ]


@admin.register(Membership)
class MembershipAdmin(OperationAdmin[Membership]):
    """Who does what in which team."""

    group, target_type = PEOPLE, "membership"
    many = gettext_lazy("Memberships")
    acts = (ChangeMemberRoles(), EndMembership())
    shown = ("team", "person", "roles", "created_at", "ended_at")
    list_display = ("person", "team", "roles_shown", "created_at", "ended_at")
    list_select_related = ("team", "person")
    list_filter = ("team", ("ended_at", admin.EmptyFieldListFilter))
    search_fields = ("person__name", "person__email", "team__name")

    @admin.display(description=gettext_lazy("roles"))
    def roles_shown(self, row: Membership) -> object:
        """The roles as words."""
        return tags(row.roles)


@admin.register(Delegation)
class DelegationAdmin(OperationAdmin[Delegation]):
    """Who stands in for whom."""

    group, target_type = PEOPLE, "delegation"
    many = gettext_lazy("Delegations")
    acts = (EndDelegation(),)
    shown = ("person", "delegate", "starts_at", "ends_at", "ended_at", "created_at")
    list_display = ("person", "delegate", "starts_at", "ends_at", "ended_at")
    list_select_related = ("person", "delegate")
    list_filter = (("ended_at", admin.EmptyFieldListFilter),)
    search_fields = ("person__name", "delegate__name")
    date_hierarchy = "starts_at"
