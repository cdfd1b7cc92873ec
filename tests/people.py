"""The people of the tests: Alice asks, Bob approves, Mallory has no business here; and what they work with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from audit import clock
from audit.actor import Actor, ActorKind, Auth, RequestFacts, StepUp
from keys.approvals.decisions import approve_request
from keys.approvals.drafting import Draft
from keys.approvals.submission import submit_request
from keys.catalogue.policies import add_version, rules_of
from keys.catalogue.services import create_scope, create_service
from keys.crypto.secrets import Secret
from keys.events import MemberAdded, PersonInvited, TeamCreated
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.issuance import create_key
from keys.models import Environment, KeyRequest, KeyVersion, ManagedKey, Membership, Person, Policy, Service, Team
from keys.operations import insert, operation

SYSTEM = Actor.system("tests")
PURPOSES = (
    "approve",
    "claim",
    "revoke",
    "suspend",
    "reinstate",
    "handover",
    "policy",
    "people",
    "catalogue",
    "factors",
    "export",
    "retention",
    "webhooks",
)


@dataclass(frozen=True)
class World:
    """Two teams around one service: reporting (Alice) uses orders (Bob, Ben); Carol approves for security."""

    alice: Person  # developer and lead of reporting
    anna: Person  # developer in reporting too
    bob: Person  # approver of the orders team
    ben: Person  # second approver of the orders team
    carol: Person  # approver in security, the group that production policy names
    mallory: Person  # developer of another team
    admin: Person
    admin2: Person
    responder: Person
    auditor: Person
    reporting: Team
    orders_team: Team
    security: Team
    other: Team
    orders: Service


@operation
def make_world(*, actor: Actor = SYSTEM) -> World:
    """Write the whole world; every row by an event, as everywhere."""
    at = clock.now()
    teams = {slug: _team(slug, at) for slug in ("reporting", "orders", "security", "wallets")}
    names = ("alice", "anna", "bob", "ben", "carol", "mallory")
    people = {name: _person(name, [], at) for name in names}
    for name, roles in (
        ("admin", ["administrator"]),
        ("admin2", ["administrator"]),
        ("responder", ["responder"]),
        ("auditor", ["auditor"]),
    ):
        people[name] = _person(name, roles, at)
    for team, name, roles in (
        ("reporting", "alice", ["developer", "lead"]),
        ("reporting", "anna", ["developer"]),
        ("orders", "bob", ["developer", "approver", "lead"]),
        ("orders", "ben", ["approver"]),
        ("security", "carol", ["approver"]),
        ("wallets", "mallory", ["developer", "approver", "lead"]),
    ):
        row = Membership(team=teams[team], person=people[name], roles=roles, created_at=at)
        insert(row, MemberAdded, actor=SYSTEM, at=at)
    orders = create_service(
        slug_text="orders", name="Orders", description="Places orders.", owner_team=teams["orders"], actor=SYSTEM
    )
    for name, access, risk in (
        ("orders:read", "read", "low"),
        ("orders:write", "write", "high"),
        ("orders:cancel", "write", "medium"),
    ):
        create_scope(orders, name=name, description=f"May {name}.", access=access, risk=risk, actor=SYSTEM)
    production = Environment.objects.get(tag="prod")
    rules = rules_of(Policy.objects.current().get(service=orders, environment=production))
    add_version(orders, production, replace(rules, approver_team_id=teams["security"].pk), actor=SYSTEM, at=at)
    return World(
        **people, reporting=teams["reporting"], orders_team=teams["orders"], security=teams["security"],
        other=teams["wallets"], orders=orders,
    )  # fmt: skip


def _team(slug: str, at: datetime) -> Team:
    return insert(Team(slug=slug, name=slug.title(), created_at=at), TeamCreated, actor=SYSTEM, at=at)


def _person(name: str, roles: list[str], at: datetime) -> Person:
    person = Person(email=f"{name}@example.com", name=name.title(), roles=roles, created_at=at)
    person.set_unusable_password()
    return insert(person, PersonInvited, actor=SYSTEM, at=at)


def acting(
    person: Person, *purposes: str, method: str = "totp", session: str = "s-1", at: datetime | None = None
) -> Actor:
    """The person signed in with MFA, freshly stepped up for `purposes` ("*" for every purpose)."""
    at = at or clock.now()
    wanted = PURPOSES if purposes == ("*",) else purposes
    return Actor(
        kind=ActorKind.PERSON,
        id=str(person.pk),
        name=person.name,
        session=f"{session}-{person.pk}",
        auth=Auth(
            mfa=True,
            methods=("password", method),
            at=at,
            assurance="otp",
            step_ups=tuple(StepUp(purpose=each, method=method, at=at) for each in wanted),
        ),
        http=RequestFacts(id="test", method="POST", route="test"),
    )


def draft(world: World, **changes: Any) -> Draft:
    """A modest wish of Alice's: read orders in production for 30 days."""
    return replace(
        Draft(
            service="orders",
            environment="prod",
            owner_team="reporting",
            name="Nightly report",
            consumer="report-builder",
            purpose="Build the nightly settlement report.",
            cryptoperiod_days=30,
            authorised_days=180,
            scopes=("orders:read",),
        ),
        **changes,
    )


def submitted(world: World, **changes: Any) -> KeyRequest:
    """Alice's request, waiting."""
    return submit_request(draft(world, **changes), actor=acting(world.alice))


def approved(world: World, **changes: Any) -> ManagedKey:
    """A key that exists and waits to be claimed; Bob and Carol agreed where the policy asks."""
    request = submitted(world, **changes)
    for approver in (world.bob, world.carol):
        request.refresh_from_db()
        if request.state == "pending":
            request = approve_request(request, digest=request.digest, actor=acting(approver, "approve"))
    return ManagedKey.objects.get(request=request)


def issued(world: World, **changes: Any) -> tuple[ManagedKey, KeyVersion, Secret]:
    """A living key of Alice's with its secret."""
    key = approved(world, **changes)
    claim = claim_secret(key.versions.get(), actor=acting(world.alice, "claim"))
    assert claim.secret is not None
    return key, claim.version, claim.secret


def verifying_credential(world: World, *, environment: str = "prod", service: Service | None = None) -> Secret:
    """The secret with which a service, orders unless another is named, asks about its own keys in `environment`."""
    key = _verifying_key(world, service or world.orders, environment=environment, actor=SYSTEM)
    claim = claim_secret(key.versions.get(), actor=acting(world.bob, "claim"))
    assert claim.secret is not None
    return claim.secret


@operation
def _verifying_key(world: World, service: Service, *, environment: str, actor: Actor) -> ManagedKey:
    at = clock.now()
    place = Environment.objects.get(tag=environment)
    return create_key(
        claim_until=at + timedelta(hours=1),
        actor=actor,
        at=at,
        name=f"Verifies {service.slug} keys",
        owner_team=world.orders_team,
        recipient=world.bob,
        consumer="orders-gateway",
        service=Service.objects.get(slug="keystead"),
        environment=place,
        origin="bootstrap",
        kind="bearer",
        scopes=["keys:verify"],
        cryptoperiod_days=30,
        authorised_until=at + timedelta(days=30),
        verifies_service=service,
        verifies_environment=place,
    )
