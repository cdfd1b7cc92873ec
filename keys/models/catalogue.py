"""Store what keys open: services, their closed catalogue of scopes, environments and templates."""

from __future__ import annotations

from typing import ClassVar, Self, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from audit.actor import Actor
from audit.governed import governed
from keys.models.base import Row, one_of
from keys.models.people import Team
from keys.models.reach import reach_of
from keys.states import Access, EnvironmentClass, Risk

M = TypeVar("M", bound=models.Model)


class CatalogueQuerySet(models.QuerySet[M]):
    """The catalogue is no secret: whoever has any business here may read it."""

    def visible_to(self, actor: Actor | None) -> Self:
        reach = reach_of(actor)
        return self if reach.colleagues or reach.team_ids else self.none()

    def living(self) -> Self:
        return self.filter(retired_at=None)


class ServiceQuerySet(CatalogueQuerySet["Service"]):
    """Ways to find services."""


class ScopeQuerySet(CatalogueQuerySet["Scope"]):
    """Ways to find scopes."""


class EnvironmentQuerySet(CatalogueQuerySet["Environment"]):
    """Ways to find environments."""


class KeyTemplateQuerySet(CatalogueQuerySet["KeyTemplate"]):
    """Ways to find templates."""


@governed("service")
class Service(Row):
    """An API that keys open (a resource server)."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=500, blank=True, default="")
    owner_team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="services")
    retires_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = ServiceQuerySet.as_manager()

    class Meta:
        ordering = ("slug",)

    def __str__(self) -> str:
        return self.name


@governed("scope")
class Scope(Row):
    """One thing a key may do to a service."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="scopes")
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=500)
    access = models.CharField(max_length=10)
    risk = models.CharField(max_length=10)
    retires_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = ScopeQuerySet.as_manager()

    class Meta:
        ordering = ("service__slug", "name")
        constraints: ClassVar = [
            models.UniqueConstraint("service", "name", name="scope_once_a_service"),
            models.CheckConstraint(condition=one_of("access", Access), name="scope_access_known"),
            models.CheckConstraint(condition=one_of("risk", Risk), name="scope_risk_known"),
            # No wildcards anywhere: a scope is matched by its exact name.
            models.CheckConstraint(condition=Q(name__regex=r"^[a-z][a-z0-9:._-]*$"), name="scope_name_is_exact"),
        ]

    def __str__(self) -> str:
        return self.name


@governed("environment")
class Environment(Row):
    """Where a key works. The tag never changes: it is in every key's text and row MAC."""

    tag = models.CharField(max_length=4, unique=True)
    name = models.CharField(max_length=60)
    environment_class = models.CharField(max_length=12)
    max_staleness_ms = models.PositiveIntegerField(default=3000)

    objects = EnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ("environment_class", "tag")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(tag__in=["dev", "test", "prod"]), name="environment_tag_known"),
            models.CheckConstraint(
                condition=one_of("environment_class", EnvironmentClass), name="environment_class_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_production(self) -> bool:
        return self.environment_class == EnvironmentClass.PRODUCTION


@governed("template")
class KeyTemplate(Row):
    """A choice of scopes that a service recommends for one purpose."""

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="templates")
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=500, blank=True, default="")
    scopes = ArrayField(models.CharField(max_length=80))
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = KeyTemplateQuerySet.as_manager()

    class Meta:
        ordering = ("service__slug", "name")
        constraints: ClassVar = [models.UniqueConstraint("service", "name", name="template_once_a_service")]

    def __str__(self) -> str:
        return self.name
