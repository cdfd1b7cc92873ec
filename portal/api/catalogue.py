"""Answer who calls and what there is: me, services, environments, policies."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from rest_framework.request import Request
from rest_framework.response import Response

from audit import clock
from keys.errors import NotFound
from keys.models import Environment, KeyTemplate, Policy, Scope, Service, Team
from keys.people.standing import standing_of
from keys.policy.step_up import has_step_up
from portal.api.doors import Door, offered
from portal.api.outputs import (
    EnvironmentOut,
    MeOut,
    PolicyOut,
    ServiceDetailOut,
    ServiceOut,
    page_of,
)
from portal.api.parameters import PAGING, SLUG, choice, slug
from portal.api.permissions import ANY_SCOPE

EVERYBODY = "developer approver administrator responder auditor program stranger"
SERVICES = (*PAGING, slug("owner_team", "owner_team__slug", "Only services of this team."))
TAGS = ("dev", "test", "prod")
POLICIES = (
    *PAGING,
    slug("service", "service__slug", "Only for this service."),
    choice("environment", "environment__tag", TAGS, "Only for this environment."),
)
ServicePage = page_of(ServiceOut)
EnvironmentPage = page_of(EnvironmentOut)
PolicyPage = page_of(PolicyOut)


class Me(Door):
    """Who calls."""

    @offered("me_retrieve", gives=MeOut, scopes=(*ANY_SCOPE, "keys:verify"), yes=EVERYBODY, tag="me")
    def get(self, request: Request) -> Response:
        """Say who you are to Keystead: roles, teams, scopes, and for what you stepped up within five minutes."""
        at = clock.now()
        who = standing_of(self.actor, at=at)
        teams = {row.pk: row.slug for row in Team.objects.visible_to(self.actor).filter(pk__in=list(who.teams))}
        places = Environment.objects.visible_to(self.actor).filter(
            pk__in=[who.environment_id] if who.environment_id else []
        )
        purposes = sorted({step.purpose for step in self.actor.auth.step_ups})
        return self.show(
            MeOut,
            {
                "kind": str(self.actor.kind),
                "id": self.actor.id,
                "name": self.actor.name,
                "roles": sorted(map(str, who.roles)),
                "teams": {teams[pk]: sorted(map(str, roles)) for pk, roles in who.teams.items() if pk in teams},
                "scopes": sorted(who.scopes),
                "environment": next((each.tag for each in places), None),
                "step_ups": [each for each in purposes if has_step_up(self.actor, each, at=at)],
            },
        )


class Services(Door):
    """The services of the catalogue."""

    @offered("services_list", gives=ServicePage, scopes=ANY_SCOPE, yes=EVERYBODY, reads=SERVICES, tag="catalogue")
    def get(self, request: Request) -> Response:
        """List services, also those that are being retired."""
        return self.page(ServiceOut, Service.objects.visible_to(self.actor).select_related("owner_team"), SERVICES)


class OneService(Door):
    """One service."""

    @offered("services_retrieve", gives=ServiceDetailOut, scopes=ANY_SCOPE, yes=EVERYBODY, tag="catalogue")
    def get(self, request: Request, slug: str) -> Response:
        """Show a service with its scopes and templates."""
        rows: Any = Service.objects.visible_to(self.actor).select_related("owner_team")
        scopes = Scope.objects.visible_to(self.actor).living()
        templates = KeyTemplate.objects.visible_to(self.actor).living()
        row = (
            rows.filter(slug=slug)
            .prefetch_related(
                Prefetch("scopes", scopes, to_attr="living_scopes"),
                Prefetch("templates", templates, to_attr="living_templates"),
            )
            .first()
            if SLUG.fullmatch(slug)
            else None
        )
        if row is None:
            raise NotFound
        return self.show(ServiceDetailOut, row)


class Environments(Door):
    """The environments."""

    @offered("environments_list", gives=EnvironmentPage, scopes=ANY_SCOPE, yes=EVERYBODY, reads=PAGING, tag="catalogue")
    def get(self, request: Request) -> Response:
        """List the environments."""
        return self.page(EnvironmentOut, Environment.objects.visible_to(self.actor), PAGING)


class Policies(Door):
    """The rules in force."""

    @offered("policies_list", gives=PolicyPage, scopes=ANY_SCOPE, yes=EVERYBODY, reads=POLICIES, tag="catalogue")
    def get(self, request: Request) -> Response:
        """List the newest policy of each service in each environment."""
        rows = Policy.objects.visible_to(self.actor).current()
        return self.page(PolicyOut, rows.select_related("service", "environment", "approver_team"), POLICIES)
