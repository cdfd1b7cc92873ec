"""Let administrators set up services with their scopes and templates, and retire a service by plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.admin.acts import Act, ActForm, Terms, Words
from keys.admin.catalogue import CATALOGUE, NewScopeForm, PlanForm, TemplateForm, life_badge, living_keys
from keys.admin.cells import Table, badge, drawn, link, tags
from keys.admin.pages import OperationAdmin
from keys.catalogue.services import (
    change_service,
    create_scope,
    create_service,
    keys_of_service,
    plan_service_retirement,
    save_template,
)
from keys.models import Policy, Service, Team


class ServiceForm(ActForm):
    """Words about a service, and who answers for it."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    description = forms.CharField(
        label=gettext_lazy("What it does"), max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    owner_team = forms.ModelChoiceField(label=gettext_lazy("Owner team"), queryset=Team.objects.none())

    def fit(self) -> None:
        """Offer the living teams."""
        asked = self.fields["owner_team"]
        assert isinstance(asked, forms.ModelChoiceField)
        asked.queryset = Team.objects.living()


class NewServiceForm(ServiceForm):
    """A service and its short name."""

    slug = forms.CharField(
        label=gettext_lazy("Short name"),
        max_length=40,
        help_text=gettext_lazy("Lower-case words joined by hyphens. It never changes."),
    )
    field_order = ("slug", "name", "description", "owner_team")


class CreateService(Act[Service]):
    """Add a service."""

    name, label, icon, purpose = "create", gettext_lazy("Add a service"), "plus", "catalogue"
    form, makes = NewServiceForm, True
    done = gettext_lazy("The service was added, with the default rules for every environment. Add its scopes now.")

    def run(self, row: Service | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        words = {name: cleaned[name] for name in ("name", "description", "owner_team")}
        return create_service(slug_text=cleaned["slug"], **words, actor=actor)


class ChangeService(Act[Service]):
    """Change the words about a service and who answers for it."""

    name, label, purpose, form = "change", gettext_lazy("Change"), "catalogue", ServiceForm
    done = gettext_lazy("The service was changed.")

    def is_offered(self, row: Service) -> bool:
        """While it stands."""
        return row.retired_at is None

    def initial(self, row: Service) -> Mapping[str, Any]:
        """The present words."""
        return {"name": row.name, "description": row.description, "owner_team": row.owner_team_id}

    def run(self, row: Service | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        words = {name: cleaned[name] for name in ("name", "description", "owner_team")}
        return change_service(row, **words, actor=actor)


class AddScope(Act[Service]):
    """Add a scope to the catalogue of a service."""

    name, label, icon, purpose = "add-scope", gettext_lazy("Add a scope"), "plus", "catalogue"
    form, done = NewScopeForm, gettext_lazy("The scope was added.")
    is_offered = ChangeService.is_offered

    def run(self, row: Service | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        words = {name: cleaned[name] for name in ("name", "description", "access", "risk")}
        create_scope(row, **words, actor=actor)
        return row


class AddTemplate(Act[Service]):
    """Offer a choice of scopes."""

    name, label, icon, purpose = "add-template", gettext_lazy("Add a template"), "layout-template", "catalogue"
    form, done = TemplateForm, gettext_lazy("The template was added.")
    is_offered = ChangeService.is_offered

    def run(self, row: Service | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        words = {name: cleaned[name] for name in ("name", "description", "scopes")}
        save_template(row, **words, actor=actor)
        return row


class RetireService(Act[Service]):
    """Announce the end of a service."""

    name, label, icon, tone = "retire", gettext_lazy("Plan its retirement"), "archive", "danger"
    purpose, form = "catalogue", PlanForm
    done = gettext_lazy("The end is planned, and every living key ends with it.")
    is_offered = ChangeService.is_offered

    def consequences(self, rows: Sequence[Service]) -> list[Words]:
        """What follows."""
        return [
            _("No new key is granted from now on."),
            _("Every living key ends on that day at the latest; its owners are told now."),
            _("A planned day can be moved, but a key that was cut short is not lengthened again."),
        ]

    def preview(self, row: Service, *, actor: Actor, at: datetime) -> Terms:
        """Whose keys."""
        return living_keys(keys_of_service(row, at))

    def phrase(self, rows: Sequence[Service]) -> str:
        """The short name."""
        return rows[0].slug if rows else ""

    def run(self, row: Service | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return plan_service_retirement(row, retires_at=cleaned["retires_at"], actor=actor)


@admin.register(Service)
class ServiceAdmin(OperationAdmin[Service]):
    """APIs that keys open."""

    group, target_type = CATALOGUE, "service"
    many = gettext_lazy("Services")
    acts = (CreateService(), ChangeService(), AddScope(), AddTemplate(), RetireService())
    shown = ("slug", "name", "description", "owner_team", "created_at", "retires_at", "retired_at")
    list_display = ("name", "slug", "owner_team", "scopes_shown", "retires_at", "state_shown")
    list_select_related = ("owner_team",)
    list_filter = ("owner_team", ("retired_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "slug", "description", "owner_team__name")

    def get_queryset(self, request: Any) -> models.QuerySet[Service]:
        """With the number of scopes, for the list."""
        counted = models.Count("scopes", filter=models.Q(scopes__retired_at=None))
        return super().get_queryset(request).annotate(scope_count=counted)

    @admin.display(description=gettext_lazy("scopes"), ordering="scope_count")
    def scopes_shown(self, row: Any) -> int:
        """How many."""
        return int(row.scope_count)

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: Service) -> object:
        """Whether it stands."""
        return life_badge(row)

    def tables(self, row: Service) -> list[Table]:
        """Scopes, templates, rules."""
        policies = (
            Policy.objects.current().filter(service=row).select_related("service", "environment", "approver_team")
        )
        return [
            Table(
                title=_("Scopes"),
                heads=(_("Name"), _("What it lets a key do"), _("Access"), _("Risk"), _("State")),
                rows=[
                    (
                        link(each),
                        each.description,
                        badge("access", each.access),
                        badge("risk", each.risk),
                        life_badge(each),
                    )
                    for each in row.scopes.all()
                ],
                empty=_("None yet: nobody can ask for a key."),
            ),
            Table(
                title=_("Templates"),
                heads=(_("Name"), _("What it is for"), _("Scopes"), _("State")),
                rows=[
                    (link(each), each.description, tags(each.scopes), life_badge(each))
                    for each in row.templates.select_related("service")
                ],
                empty=_("None."),
            ),
            Table(
                title=_("Rules in force"),
                heads=(
                    _("Environment"),
                    _("Version"),
                    _("Approvals"),
                    _("Of the service"),
                    _("Also approve"),
                    _("Rules"),
                ),
                rows=[
                    (
                        badge("environment", each.environment),
                        each.version,
                        each.approvals_required,
                        each.service_approvals_required,
                        drawn(each.approver_team),
                        link(each, _("Open")),
                    )
                    for each in policies
                ],
            ),
        ]
