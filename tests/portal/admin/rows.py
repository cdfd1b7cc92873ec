"""Make the rows that acts of the administration are done to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from audit import clock
from keys.catalogue.policies import current_policy, rules_of, set_policy
from keys.catalogue.services import save_template
from keys.events import MemberAdded, PasskeyEnrolled
from keys.lifecycle.handover import offer_transfer
from keys.lifecycle.revocation import suspend_key
from keys.models import (
    Delegation,
    Environment,
    FactorReset,
    Invitation,
    KeyTransfer,
    Membership,
    Passkey,
    Person,
    Policy,
    PolicyProposal,
)
from keys.operations import insert, operation
from keys.people.delegates import name_delegate
from keys.people.invitations import invite_person
from keys.people.resets import propose_factor_reset
from keys.people.roles import deactivate_person
from keys.states import SuspensionReason
from tests.people import SYSTEM, World, acting, issued


@operation
def give_passkey(person: Person, *, actor: Any = SYSTEM) -> Passkey:
    at = clock.now()
    mark = person.pk.bytes
    row = Passkey(
        user=person,
        name="laptop",
        confirmed=True,
        created_at=at,
        approves_from=at,
        credential_id=mark,
        credential_id_sha256=Passkey.get_credential_id_sha256(mark),
        public_key=b"key",
        transports=[],
        sign_count=0,
        backup_eligible=False,
        backup_state=False,
        discoverable=True,
    )
    return insert(row, PasskeyEnrolled, actor=actor, at=at, person=str(person.pk))


def living_key(world: World) -> Any:
    return issued(world)[0]


def suspended_key(world: World) -> Any:
    key = living_key(world)
    suspend_key(key, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    return key


def production_policy(world: World) -> Policy:
    return current_policy(world.orders, Environment.objects.get(tag="prod"))


def typed_rules(policy: Policy, **changes: Any) -> dict[str, Any]:
    rules = rules_of(policy)
    found = {name: getattr(rules, name) for name in rules.__dataclass_fields__}
    found["kinds"] = list(found["kinds"])
    found |= changes
    return {name: value for name, value in found.items() if value is not False and value is not None}


def proposed_policy(world: World) -> PolicyProposal:
    policy = production_policy(world)
    weaker = replace(rules_of(policy), approvals_required=1)
    return set_policy(
        world.orders,
        environment=policy.environment,
        rules=weaker,
        base_version=policy.version,
        actor=acting(world.admin2, "policy"),
    )


def proposed_reset(world: World) -> FactorReset:
    give_passkey(world.alice)
    return propose_factor_reset(world.alice, actor=acting(world.admin2, "people"), reason="Lost the telephone at sea.")


def person_with_factor(world: World) -> Person:
    give_passkey(world.anna)
    return world.anna


def leaver(world: World) -> Person:
    give_passkey(world.admin)
    return deactivate_person(world.anna, actor=acting(world.admin2, "people"))


def offered_transfer(world: World) -> KeyTransfer:
    return offer_transfer(living_key(world), to_team=world.other, actor=acting(world.alice, "handover"))


def named_delegation(world: World) -> Delegation:
    at = clock.now()
    return name_delegate(
        world.bob,
        actor=acting(world.bob, "people"),
        delegate=world.ben,
        starts_at=at,
        ends_at=at + timedelta(days=3),
    )


def saved_template(world: World) -> Any:
    return save_template(
        world.orders, name="Reader", description="", scopes=["orders:read"], actor=acting(world.admin2, "catalogue")
    )


def sent_invitation(world: World) -> Invitation:
    return invite_person("new@example.com", name="New", actor=acting(world.admin2, "people")).invitation


@operation
def seat_as_approver(world: World, *, actor: Any = SYSTEM) -> Membership:
    row = Membership(team=world.orders_team, person=world.admin, roles=["approver"], created_at=clock.now())
    return insert(row, MemberAdded, actor=actor, at=row.created_at)
