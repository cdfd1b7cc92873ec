"""Let administrators change scopes and templates, rename environments, and retire by plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.actor import Actor
from keys.admin.acts import Act, ActForm, Terms, Words, titled
from keys.admin.cells import badge, link, moment, tags
from keys.admin.pages import OperationAdmin
from keys.catalogue.environments import rename_environment
from keys.catalogue.services import (
    change_scope,
    keys_of_scope,
    plan_scope_retirement,
    retire_template,
    save_template,
)
from keys.models import Environment, KeyTemplate, ManagedKey, Scope, Service
from keys.states import Access, Risk

CATALOGUE = gettext_lazy("Catalogue")


class ScopeForm(ActForm):
    """Words and risk of a scope."""

    description = forms.CharField(label=gettext_lazy("What it lets a key do"), max_length=500)
    risk = forms.ChoiceField(label=gettext_lazy("Risk"), choices=titled(Risk))


class NewScopeForm(ScopeForm):
    """A scope."""

    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=80, help_text=gettext_lazy("Such as orders:read. It never changes.")
    )
    access = forms.ChoiceField(label=gettext_lazy("Access"), choices=titled(Access))
    field_order = ("name", "description", "access", "risk")


class TemplateForm(ActForm):
    """A choice of scopes for one purpose."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    description = forms.CharField(label=gettext_lazy("What it is for"), max_length=500, required=False)
    scopes = forms.MultipleChoiceField(label=gettext_lazy("Scopes"), widget=forms.CheckboxSelectMultiple)

    def fit(self) -> None:
        """Offer the living scopes of the service."""
        row = self.rows[0]
        service = row.service if isinstance(row, KeyTemplate) else row
        assert isinstance(service, Service)
        living = Scope.objects.living().filter(service=service, retires_at=None)
        asked = self.fields["scopes"]
        assert isinstance(asked, forms.MultipleChoiceField)
        asked.choices = [(scope.name, f"{scope.name} — {scope.description}") for scope in living]


class NameForm(ActForm):
    """A name."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60)


class PlanForm(ActForm):
    """The day of an end."""

    retires_at = forms.DateTimeField(
        label=gettext_lazy("Ends at (UTC)"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=gettext_lazy("Living keys end on that day at the latest; new ones are not granted from now on."),
    )


def living_keys(found: models.QuerySet[ManagedKey]) -> Terms:
    """Name the keys that a retirement ends: how many, where, whose."""
    rows = list(found.select_related("environment", "owner_team").order_by("environment__tag", "number")[:200])
    drawn_rows = format_html_join(
        "",
        "<li>{} {} {} · {}</li>",
        ((link(key), badge("environment", key.environment), key.name, key.owner_team) for key in rows),
    )
    return [
        (_("Living keys that end by plan"), len(rows)),
        (_("Which"), format_html_join("", "<ul class='plain'>{}</ul>", ((drawn_rows,),)) if rows else _("none")),
    ]


def life_badge(row: Service | Scope | KeyTemplate) -> object:
    """Say whether something is offered, ending or ended."""
    if row.retired_at is not None:
        return badge("neutral", _("Retired"))
    if getattr(row, "retires_at", None) is not None:
        return badge("warning", _("Ending"))
    return badge("success", _("Offered"))


class ChangeScope(Act[Scope]):
    """Change the words and the risk of a scope."""

    name, label, purpose, form = "change", gettext_lazy("Change"), "catalogue", ScopeForm
    done = gettext_lazy("The scope was changed.")

    def is_offered(self, row: Scope) -> bool:
        """While it stands."""
        return row.retired_at is None

    def initial(self, row: Scope) -> Mapping[str, Any]:
        """The present words."""
        return {"description": row.description, "risk": row.risk}

    def run(self, row: Scope | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return change_scope(row, description=cleaned["description"], risk=cleaned["risk"], actor=actor)


class RetireScope(Act[Scope]):
    """Announce the end of a scope."""

    name, label, icon, tone = "retire", gettext_lazy("Plan its retirement"), "archive", "danger"
    purpose, form = "catalogue", PlanForm
    done = gettext_lazy("The end is planned, and every living key that holds the scope ends with it.")
    is_offered = ChangeScope.is_offered

    def consequences(self, rows: Sequence[Scope]) -> list[Words]:
        """What follows."""
        return [
            _("No new key with this scope is granted from now on."),
            _("Every living key that holds it ends on that day at the latest; its owners are told now."),
        ]

    def preview(self, row: Scope, *, actor: Actor, at: datetime) -> Terms:
        """Whose keys."""
        return living_keys(keys_of_scope(row, at))

    def phrase(self, rows: Sequence[Scope]) -> str:
        """The name."""
        return rows[0].name if rows else ""

    def run(self, row: Scope | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return plan_scope_retirement(row, retires_at=cleaned["retires_at"], actor=actor)


class ChangeTemplate(Act[KeyTemplate]):
    """Change a template."""

    name, label, purpose, form = "change", gettext_lazy("Change"), "catalogue", TemplateForm
    done = gettext_lazy("The template was changed.")

    def is_offered(self, row: KeyTemplate) -> bool:
        """While it is offered."""
        return row.retired_at is None

    def initial(self, row: KeyTemplate) -> Mapping[str, Any]:
        """The present choice."""
        return {"name": row.name, "description": row.description, "scopes": row.scopes}

    def run(self, row: KeyTemplate | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        words = {name: cleaned[name] for name in ("name", "description", "scopes")}
        return save_template(row.service, template=row, **words, actor=actor)


class RetireTemplate(Act[KeyTemplate]):
    """Stop offering a template."""

    name, label, icon, tone = "retire", gettext_lazy("Stop offering it"), "archive", "danger"
    purpose, done = "catalogue", gettext_lazy("The template is no longer offered; keys made from it live on.")
    is_offered = ChangeTemplate.is_offered

    def run(self, row: KeyTemplate | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return retire_template(row, actor=actor)


class RenameEnvironment(Act[Environment]):
    """Call an environment by another name."""

    name, label, purpose, form = "rename", gettext_lazy("Rename"), "catalogue", NameForm
    done = gettext_lazy("The environment has a new name; its tag stays.")

    def initial(self, row: Environment) -> Mapping[str, Any]:
        """The present name."""
        return {"name": row.name}

    def run(self, row: Environment | None, cleaned: Mapping[str, Any], *, seen: str, actor: Actor) -> models.Model:
        """Call the operation."""
        assert row is not None
        return rename_environment(row, name=cleaned["name"], actor=actor)


@admin.register(Scope)
class ScopeAdmin(OperationAdmin[Scope]):
    """What a key may do to a service."""

    group, target_type = CATALOGUE, "scope"
    many = gettext_lazy("Scopes")
    acts = (ChangeScope(), RetireScope())
    shown = ("service", "name", "description", "access", "risk", "created_at", "retires_at", "retired_at")
    list_display = ("name", "service", "description", "access_shown", "risk_shown", "state_shown")
    list_select_related = ("service",)
    list_filter = ("service", "access", "risk", ("retired_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "description", "service__name")

    @admin.display(description=gettext_lazy("access"), ordering="access")
    def access_shown(self, row: Scope) -> object:
        """Read, write or admin."""
        return badge("access", row.access)

    @admin.display(description=gettext_lazy("risk"), ordering="risk")
    def risk_shown(self, row: Scope) -> object:
        """The tier."""
        return badge("risk", row.risk)

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: Scope) -> object:
        """Whether it stands."""
        return life_badge(row)


@admin.register(KeyTemplate)
class KeyTemplateAdmin(OperationAdmin[KeyTemplate]):
    """Choices of scopes that services recommend."""

    group, target_type = CATALOGUE, "template"
    many = gettext_lazy("Templates")
    acts = (ChangeTemplate(), RetireTemplate())
    shown = ("service", "name", "description", "scopes", "created_at", "retired_at")
    list_display = ("name", "service", "description", "scopes_shown", "state_shown")
    list_select_related = ("service",)
    list_filter = ("service", ("retired_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "description", "service__name")

    @admin.display(description=gettext_lazy("scopes"))
    def scopes_shown(self, row: KeyTemplate) -> object:
        """The scopes as words."""
        return tags(row.scopes)

    @admin.display(description=gettext_lazy("state"))
    def state_shown(self, row: KeyTemplate) -> object:
        """Whether it is offered."""
        return life_badge(row)


@admin.register(Environment)
class EnvironmentAdmin(OperationAdmin[Environment]):
    """Where keys work."""

    group, target_type = CATALOGUE, "environment"
    many = gettext_lazy("Environments")
    acts = (RenameEnvironment(),)
    shown = ("tag", "name", "environment_class", "max_staleness_ms", "created_at")
    list_display = ("name", "tag", "class_shown", "created_shown")

    @admin.display(description=gettext_lazy("class"))
    def class_shown(self, row: Environment) -> object:
        """What rules speak of."""
        return badge("environment", row.environment_class)

    @admin.display(description=gettext_lazy("since"), ordering="created_at")
    def created_shown(self, row: Environment) -> object:
        """The birth."""
        return moment(row.created_at)
