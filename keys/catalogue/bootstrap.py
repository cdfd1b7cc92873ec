"""Write the rows without which nothing works: the environments, and Keystead's own service with its scopes."""

from __future__ import annotations

from dataclasses import replace

from audit import clock
from audit.actor import Actor
from keys.catalogue.own_service import OWN_SERVICE, VERIFY_SCOPE
from keys.catalogue.policies import add_version, default_rules
from keys.events import EnvironmentCreated, ScopeCreated, ServiceCreated, TeamCreated
from keys.models import Environment, Scope, Service, Team
from keys.operations import insert, operation
from keys.policy.bounds import Rules
from keys.states import Access, EnvironmentClass, Risk

ENVIRONMENTS = (
    ("dev", "Development", EnvironmentClass.DEVELOPMENT),
    ("test", "Test", EnvironmentClass.TEST),
    ("prod", "Production", EnvironmentClass.PRODUCTION),
)
OWN_SCOPES = (
    (VERIFY_SCOPE, "Verify keys of the one service and environment that this key names", Access.READ, Risk.MEDIUM),
    ("keys:read", "Read the keys of the owner team", Access.READ, Risk.LOW),
    ("keys:revoke", "Suspend and revoke keys of the owner team", Access.WRITE, Risk.HIGH),
    ("requests:read", "Read the requests of the owner team", Access.READ, Risk.LOW),
    ("requests:write", "Ask for keys for the owner team", Access.WRITE, Risk.MEDIUM),
    ("audit:read", "Read the audit log", Access.READ, Risk.HIGH),
)


@operation
def bootstrap(*, actor: Actor) -> bool:
    """Create what is missing; safe to run at every start. Returns whether anything was written."""
    at = clock.now()
    written = False
    for tag, name, environment_class in ENVIRONMENTS:
        if not Environment.objects.filter(tag=tag).exists():
            row = Environment(tag=tag, name=name, environment_class=str(environment_class), created_at=at)
            insert(row, EnvironmentCreated, actor=actor, at=at, environment=tag)
            written = True
    team = Team.objects.filter(slug="keystead").first()
    if team is None:
        team = Team(slug="keystead", name="Keystead", description="Answers for Keystead itself.", created_at=at)
        insert(team, TeamCreated, actor=actor, at=at)
        written = True
    service = Service.objects.filter(slug=OWN_SERVICE).first()
    if service is None:
        service = Service(
            slug=OWN_SERVICE,
            name="Keystead API",
            description="What programs may do to Keystead itself.",
            owner_team=team,
            created_at=at,
        )
        insert(service, ServiceCreated, actor=actor, at=at)
        for environment in Environment.objects.all():
            add_version(service, environment, _own_rules(environment), actor=actor, at=at)
        written = True
    for name, description, access, risk in OWN_SCOPES:
        if not Scope.objects.filter(service=service, name=name).exists():
            scope = Scope(
                service=service, name=name, description=description, access=str(access), risk=str(risk), created_at=at
            )
            insert(scope, ScopeCreated, actor=actor, at=at)
            written = True
    return written


def _own_rules(environment: Environment) -> Rules:
    """Nobody opens Keystead itself alone, in no environment: at least one approval from the side of its team."""
    rules = default_rules(EnvironmentClass(environment.environment_class))
    return replace(
        rules,
        approvals_required=max(rules.approvals_required, 1),
        service_approvals_required=max(rules.service_approvals_required, 1),
    )
