"""Set up services, their scopes and templates; retire them by plan, with the keys that hang on them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from audit import clock
from audit.actor import Actor
from keys.catalogue.policies import add_version, default_rules
from keys.errors import Conflict, Invalid
from keys.events import (
    ScopeChanged,
    ScopeCreated,
    ScopeRetired,
    ScopeRetirementPlanned,
    ServiceChanged,
    ServiceCreated,
    ServiceRetired,
    ServiceRetirementPlanned,
    TemplateChanged,
    TemplateCreated,
    TemplateRetired,
)
from keys.lifecycle.expiry import shorten_key
from keys.models import Environment, KeyRequest, KeyTemplate, ManagedKey, Scope, Service, Team
from keys.operations import insert, locked, operation, refuse_if_log_is_behind, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_administer
from keys.states import Access, EnvironmentClass, Risk
from keys.text import line, paragraph, slug

_SCOPE_NAME = re.compile(r"[a-z][a-z0-9:._-]*", re.ASCII)
LONGEST_PLAN = timedelta(days=730)


def _may(actor: Actor) -> datetime:
    at = clock.now()
    enforce(may_administer(actor, standing_of(actor, at=at), purpose="catalogue", at=at))
    return at


@operation
def create_service(*, slug_text: str, name: str, description: str, owner_team: Team, actor: Actor) -> Service:
    """Add a service, with the default rules for every environment."""
    at = _may(actor)
    service_slug = slug(slug_text)
    if Service.objects.filter(slug=service_slug).exists():
        raise Invalid.field("slug", "taken")
    service = Service(
        slug=service_slug,
        name=line(name, "name", most=120),
        description=paragraph(description, "description", most=500),
        owner_team=_living(owner_team),
        created_at=at,
    )
    insert(service, ServiceCreated, actor=actor, at=at)
    for environment in Environment.objects.all():
        rules = default_rules(EnvironmentClass(environment.environment_class))
        add_version(service, environment, rules, actor=actor, at=at)
    return service


def _living(team: Team) -> Team:
    if team.retired_at is not None:
        raise Invalid.field("owner_team", "unknown_team")
    return team


@operation(grants="sometimes")
def change_service(service: Service, *, name: str, description: str, owner_team: Team, actor: Actor) -> Service:
    """Change how a service is called and who answers for it; its slug never changes.

    The owner team decides who approves: it cannot be swapped by one administrator under living production keys or requests.
    """
    service = locked(service)
    at = _may(actor)
    if owner_team.pk != service.owner_team_id and _is_in_production(service, at=at):
        raise Invalid.field("owner_team", "service_in_use")
    if owner_team.pk != service.owner_team_id:
        refuse_if_log_is_behind()  # other people approve
    columns = {
        "name": line(name, "name", most=120),
        "description": paragraph(description, "description", most=500),
        "owner_team_id": _living(owner_team).pk,
    }
    return update(service, ServiceChanged, actor=actor, at=at, columns=columns)


def _is_in_production(service: Service, *, at: datetime) -> bool:
    production = {"environment__environment_class": EnvironmentClass.PRODUCTION}
    keys = keys_of_service(service, at).filter(**production)
    requests = KeyRequest.objects.open(at).filter(service=service, **production)
    return keys.exists() or requests.exists()


@operation
def create_scope(service: Service, *, name: str, description: str, access: str, risk: str, actor: Actor) -> Scope:
    """Add one scope to a service's closed catalogue. Names are exact: there are no wildcards."""
    service = locked(service)
    at = _may(actor)
    scope_name = line(name, "name", most=80)
    if not _SCOPE_NAME.fullmatch(scope_name):
        raise Invalid.field("name", "not_a_scope_name")
    if Scope.objects.filter(service=service, name=scope_name).exists():
        raise Invalid.field("name", "taken")
    scope = Scope(
        service=service,
        name=scope_name,
        description=line(description, "description", most=500),
        access=_word(access, Access, "access"),
        risk=_word(risk, Risk, "risk"),
        created_at=at,
    )
    return insert(scope, ScopeCreated, actor=actor, at=at)


def _word(value: str, words: Any, field: str) -> str:
    if value not in {str(word) for word in words}:
        raise Invalid.field(field, "unknown_choice", choices=[str(word) for word in words])
    return value


@operation(grants="sometimes")
def change_scope(scope: Scope, *, description: str, risk: str, actor: Actor) -> Scope:
    """Change a scope's words and risk; its name and access are what keys were approved for."""
    scope = locked(scope)
    at = _may(actor)
    columns = {"description": line(description, "description", most=500), "risk": _word(risk, Risk, "risk")}
    if columns["risk"] != scope.risk:
        refuse_if_log_is_behind()  # what is called less risky is asked less about
    return update(scope, ScopeChanged, actor=actor, at=at, columns=columns)


@operation
def save_template(
    service: Service,
    *,
    template: KeyTemplate | None = None,
    name: str,
    description: str,
    scopes: Iterable[str],
    actor: Actor,
) -> KeyTemplate:
    """Offer a choice of scopes, or change one that is offered."""
    service = locked(service)
    at = _may(actor)
    wanted = sorted(set(scopes))
    known = set(Scope.objects.living().filter(service=service).values_list("name", flat=True))
    if not wanted or not set(wanted) <= known:
        raise Invalid.field("scopes", "unknown_scope", scopes=sorted(set(wanted) - known))
    columns = {
        "name": line(name, "name", most=120),
        "description": paragraph(description, "description", most=500),
        "scopes": wanted,
    }
    others = KeyTemplate.objects.filter(service=service, name=columns["name"])
    if (others.exclude(pk=template.pk) if template else others).exists():
        raise Invalid.field("name", "taken")
    if template is not None:
        return update(locked(template), TemplateChanged, actor=actor, at=at, columns=columns)
    return insert(KeyTemplate(service=service, created_at=at, **columns), TemplateCreated, actor=actor, at=at)


@operation
def retire_template(template: KeyTemplate, *, actor: Actor) -> KeyTemplate:
    """Stop offering a template; keys made from it live on."""
    template = locked(template)
    at = _may(actor)
    return update(
        template, TemplateRetired, actor=actor, at=at, expected={"retired_at": None}, columns={"retired_at": at}
    )


def keys_of_service(service: Service, at: datetime) -> QuerySet[ManagedKey]:
    """The living keys that a retirement of `service` ends."""
    return ManagedKey.objects.living(at).filter(service=service)


def keys_of_scope(scope: Scope, at: datetime) -> QuerySet[ManagedKey]:
    """The living keys that a retirement of `scope` ends."""
    return ManagedKey.objects.living(at).filter(service=scope.service, scopes__contains=[scope.name])


@operation
def plan_service_retirement(service: Service, *, retires_at: datetime, actor: Actor) -> Service:
    """Announce the end of a service: no new keys from now on, and every living key ends on that day at the latest."""
    service = locked(service)
    at = _may(actor)
    until = _plan(retires_at, service.retired_at, at=at)
    update(service, ServiceRetirementPlanned, actor=actor, at=at, columns={"retires_at": until})
    for key in keys_of_service(service, at).order_by("pk"):
        shorten_key(key, until=until, actor=actor, at=at, correlation=str(service.pk))
    return service


@operation
def plan_scope_retirement(scope: Scope, *, retires_at: datetime, actor: Actor) -> Scope:
    """Announce the end of a scope: no new keys with it, and every living key that holds it ends on that day at the latest."""
    scope = locked(scope)
    at = _may(actor)
    until = _plan(retires_at, scope.retired_at, at=at)
    update(scope, ScopeRetirementPlanned, actor=actor, at=at, columns={"retires_at": until})
    for key in keys_of_scope(scope, at).order_by("pk"):
        shorten_key(key, until=until, actor=actor, at=at, correlation=str(scope.pk))
    return scope


def _plan(retires_at: datetime, retired_at: datetime | None, *, at: datetime) -> datetime:
    if retired_at is not None:
        raise Conflict("already_retired")
    if retires_at < at - timedelta(minutes=1) or retires_at > at + LONGEST_PLAN:
        raise Invalid.field("retires_at", "out_of_range", least=at.isoformat(), most=(at + LONGEST_PLAN).isoformat())
    return max(retires_at, at)


@operation
def finish_retirement(row: Service | Scope, *, actor: Actor) -> bool:
    """Write down that a planned day has come; False when it has not, or was written already."""
    row = locked(row)
    at = clock.now()
    if row.retired_at is not None or row.retires_at is None or row.retires_at > at:
        return False
    event = ServiceRetired if isinstance(row, Service) else ScopeRetired
    update(row, event, actor=actor, at=at, expected={"retired_at": None}, columns={"retired_at": at})
    return True
