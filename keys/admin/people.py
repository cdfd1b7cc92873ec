"""Let administrators invite people, give and take roles, end places, and reset lost factors by two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from audit.erasures import named_in
from audit.retention import holds_in_force
from keys.admin.acts import Act, ActForm, Terms, Words, chosen, titled
from keys.admin.cells import Table, badge, drawn, link, moment, table_of_keys, tags
from keys.admin.pages import OperationAdmin
from keys.models import ManagedKey, Membership, Person
from keys.people.facts import usable_factors
from keys.people.invitations import invite_again, invite_person
from keys.people.resets import propose_factor_reset
from keys.people.roles import change_roles, deactivate_person, reactivate_person, rename_person
from keys.retention.erasure import ErasureReason, erase_person, erasures_of
from keys.states import Role

PEOPLE = gettext_lazy("People")


class NameForm(ActForm):
    """A name."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)


class RolesForm(ActForm):
    """Roles for the whole organisation."""

    roles = chosen(lambda: titled(Role))
    roles.label = gettext_lazy("Roles for the whole organisation")


class InviteForm(NameForm, RolesForm):
    """Somebody new."""

    email = forms.CharField(label=gettext_lazy("E-mail address"), max_length=254, widget=forms.EmailInput)
    field_order = ("email", "name", "roles")


class ReasonForm(ActForm):
    """Why."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=500,
        help_text=gettext_lazy("How you know that it is really them who asks. The second administrator reads this."),
    )


class ErasureForm(ActForm):
    """On what ground, in the words of the law."""

    reason = forms.ChoiceField(
        label=gettext_lazy("Ground (GDPR, article 17)"),
        choices=[
            (str(ErasureReason.NO_LONGER_NEEDED), gettext_lazy("no longer needed for what it was collected for")),
            (str(ErasureReason.CONSENT_WITHDRAWN), gettext_lazy("consent was withdrawn")),
            (str(ErasureReason.OBJECTION), gettext_lazy("the person objects")),
            (str(ErasureReason.UNLAWFUL), gettext_lazy("it was processed unlawfully")),
            (str(ErasureReason.LEGAL_OBLIGATION), gettext_lazy("a law asks for it")),
        ],
    )


class Invite(Act[Person]):
    """Give a new person a place."""

    name, label, icon = "invite", gettext_lazy("Invite somebody"), "user-plus"
    purpose, form, makes = "people", InviteForm, True
    done = gettext_lazy("The invitation was made; the mail with the link is on its way.")

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        return invite_person(cleaned["email"], name=cleaned["name"], roles=cleaned["roles"], actor=actor).person


class Rename(Act[Person]):
    """Change a name."""

    name, label, purpose, form = "rename", gettext_lazy("Change name"), "people", NameForm
    done = gettext_lazy("The name was changed.")

    def is_offered(self, row: Person) -> bool:
        """While there is a name."""
        return row.erased_at is None

    def initial(self, row: Person) -> Mapping[str, Any]:
        """The present name."""
        return {"name": row.name}

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return rename_person(row, name=cleaned["name"], actor=actor)


class ChangeRoles(Act[Person]):
    """Give and take roles."""

    name, label, icon = "roles", gettext_lazy("Change roles"), "shield"
    purpose, form, done = "people", RolesForm, gettext_lazy("The roles were changed.")

    def initial(self, row: Person) -> Mapping[str, Any]:
        """The present roles."""
        return {"roles": row.roles}

    def consequences(self, rows: Sequence[Person]) -> list[Words]:
        """What follows."""
        return [_("Sessions of this person get a new key and lose their step-ups.")]

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return change_roles(row, roles=cleaned["roles"], actor=actor)


class Deactivate(Act[Person]):
    """End a place."""

    name, label, icon, tone = "deactivate", gettext_lazy("Deactivate"), "user-x", "danger"
    purpose, done = "people", gettext_lazy("The person was deactivated.")

    def is_offered(self, row: Person) -> bool:
        """While there is a place."""
        return row.is_active

    def consequences(self, rows: Sequence[Person]) -> list[Words]:
        """What follows."""
        return [
            _("All sessions, invitations and delegations end now."),
            _("Approvals of open requests no longer count."),
            _("Keys stay alive; the teams that own them are asked to name another recipient."),
        ]

    def preview(self, row: Person, *, actor: Actor, at: Any) -> Terms:
        """What this person has."""
        living = ManagedKey.objects.visible_to(actor).living(at).filter(recipient=row).count()
        teams = [str(each.team) for each in Membership.objects.visible_to(actor).living().filter(person=row)]
        return [(_("Teams"), tags(teams)), (_("Living keys received"), living)]

    def phrase(self, rows: Sequence[Person]) -> str:
        """The address."""
        return rows[0].email if rows else ""

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return deactivate_person(row, actor=actor)


class Reactivate(Act[Person]):
    """Give a place back."""

    name, label, icon = "reactivate", gettext_lazy("Reactivate"), "user-check"
    purpose, done = "people", gettext_lazy("The person may sign in again.")

    def is_offered(self, row: Person) -> bool:
        """While the place has ended."""
        return not row.is_active and row.erased_at is None

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return reactivate_person(row, actor=actor)


class Erase(Act[Person]):
    """Erase what is personal about somebody who has left."""

    name, label, icon, tone = "erase", gettext_lazy("Erase personal data"), "eraser", "danger"
    purpose, form = "people", ErasureForm
    done = gettext_lazy("Erased. The receipts are listed below; each is proved by the log once it is sealed.")

    def is_offered(self, row: Person) -> bool:
        """When the place has ended."""
        return not row.is_active and row.erased_at is None

    def consequences(self, rows: Sequence[Person]) -> list[Words]:
        """What follows."""
        return [
            _("Name and address are replaced, here and in every event of the log that names this person."),
            _("Addresses of devices and free text in those events go too, also where others acted on this person."),
            _("That something was done, when, and under which identifier stays, and is still provable."),
            _("Nothing of it can be undone. Backups hold it until they are gone."),
            _("Whoever ended this person's place does not erase them; another administrator does."),
        ]

    def preview(self, row: Person, *, actor: Actor, at: Any) -> Terms:
        """What stands in the way."""
        held = holds_in_force()
        return [(_("Legal holds in force"), ", ".join(str(hold) for hold in held) or _("none"))]

    def phrase(self, rows: Sequence[Person]) -> str:
        """The address."""
        return rows[0].email if rows else ""

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return erase_person(row, actor=actor, reason=cleaned["reason"]).person


class InviteAgain(Act[Person]):
    """Make a fresh invitation."""

    name, label, icon = "invite-again", gettext_lazy("Invite again"), "mail-plus"
    purpose, done = "people", gettext_lazy("A fresh invitation was made; the older one is void.")

    def is_offered(self, row: Person) -> bool:
        """Until the person has joined."""
        return row.is_active and usable_factors(row.pk) == 0

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return invite_again(row, actor=actor)


class ProposeReset(Act[Person]):
    """Begin to take lost factors away."""

    name, label, icon, tone = "reset-factors", gettext_lazy("Propose a factor reset"), "key-round", "danger"
    purpose, form = "people", ReasonForm
    done = gettext_lazy("Proposed. A second administrator has to confirm it within a day.")

    def is_offered(self, row: Person) -> bool:
        """Whoever has factors may have lost them."""
        return row.is_active and usable_factors(row.pk) > 0

    def consequences(self, rows: Sequence[Person]) -> list[Words]:
        """What follows."""
        return [
            _("Nothing changes until a second administrator confirms."),
            _("Then every passkey, authenticator and recovery code goes, and the person is told and enrols anew."),
            _("The new factor approves nothing for 24 hours."),
        ]

    def run(self, row: Person | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return propose_factor_reset(row, reason=cleaned["reason"], actor=actor)


class RoleFilter(admin.SimpleListFilter):
    """People by what they do for the whole organisation."""

    title, parameter_name = gettext_lazy("role"), "role"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """The roles."""
        return titled(Role)

    def queryset(self, request: Any, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Those who have it."""
        return queryset.filter(roles__contains=[self.value()]) if self.value() in set(Role) else queryset


@admin.register(Person)
class PersonAdmin(OperationAdmin[Person]):
    """People and their places."""

    group, target_type = PEOPLE, "person"
    many = gettext_lazy("People")
    acts = (Invite(), Rename(), ChangeRoles(), InviteAgain(), ProposeReset(), Deactivate(), Reactivate(), Erase())
    shown = ("email", "name", "roles", "is_active", "created_at", "deactivated_at", "erased_at")
    list_display = ("name", "email", "roles_shown", "teams_shown", "active_shown")
    list_filter = ("is_active", RoleFilter, "memberships__team")
    search_fields = ("name", "email")

    def get_queryset(self, request: Any) -> models.QuerySet[Person]:
        """With the teams, for the list."""
        return super().get_queryset(request).prefetch_related("memberships__team")

    @admin.display(description=gettext_lazy("roles"))
    def roles_shown(self, row: Person) -> object:
        """The roles as words."""
        return tags(row.roles)

    @admin.display(description=gettext_lazy("teams"))
    def teams_shown(self, row: Person) -> str:
        """The teams by name."""
        return ", ".join(str(each.team) for each in row.memberships.all() if each.ended_at is None) or "—"

    @admin.display(description=gettext_lazy("state"), ordering="is_active")
    def active_shown(self, row: Person) -> object:
        """Whether there is a place."""
        if row.is_active:
            return badge("success", _("Active"))
        return badge("neutral", _("Erased") if row.erased_at else _("Deactivated"))

    def facts(self, row: Person) -> Terms:
        """The columns, and how many factors there are."""
        return [*super().facts(row), (_("Second factors"), usable_factors(row.pk))]

    def tables(self, row: Person) -> list[Table]:
        """Teams, invitations, resets, keys."""
        keys = row.keys_received.select_related("service", "environment").order_by("-created_at")[:50]
        return [
            Table(
                title=_("Teams"),
                heads=(_("Team"), _("Roles"), _("Since"), _("Ended")),
                rows=[
                    (link(each, each.team), tags(each.roles), moment(each.created_at), drawn(each.ended_at))
                    for each in row.memberships.select_related("team", "person")
                ],
                empty=_("In no team."),
            ),
            Table(
                title=_("Invitations"),
                heads=(_("For"), _("Made"), _("Until"), _("Taken"), _("Revoked")),
                rows=[
                    (
                        link(each, each.purpose),
                        moment(each.created_at),
                        moment(each.expires_at),
                        drawn(each.accepted_at),
                        drawn(each.revoked_at),
                    )
                    for each in row.invitations.select_related("person")
                ],
                empty=_("None."),
            ),
            Table(
                title=_("Receipts of erasure"),
                heads=(_("Event"), _("When"), _("Ground"), _("Events erased")),
                rows=[
                    (
                        format_html('<a href="{}">{}</a>', reverse("audit_event", args=[each.uid]), each.uid),
                        moment(each.occurred_at),
                        each.envelope()["reason"],
                        len(named_in(each.envelope()["details"])),
                    )
                    for each in erasures_of(row)
                ],
                empty=_("Nothing was erased."),
            ),
            table_of_keys(_("Keys received"), keys),
        ]
