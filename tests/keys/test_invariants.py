"""A whole life leaves no breach and replays from its events; and each check finds what it is for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command

from audit import clock
from keys.approvals.decisions import Narrowing, approve_request, deny_request, narrow_request, return_request
from keys.approvals.submission import edit_request, request_renewal, withdraw_request
from keys.catalogue.policies import current_policy, decide_proposal, rules_of, set_policy
from keys.catalogue.services import plan_scope_retirement, save_template
from keys.invariants import INVARIANTS, breaches
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.handover import accept_transfer, offer_transfer
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import issue_new_version
from keys.models import Environment, ManagedKey, PolicyProposal, Scope
from keys.states import RevocationReason, SuspensionReason
from tests.people import World, acting, approved, draft, issued, submitted

Superuser = psycopg.Connection[tuple[object, ...]]


def live_a_whole_life(world: World) -> ManagedKey:
    """Everything that can happen to a key, once."""
    alice, bob, carol, admin = (acting(each, "*") for each in (world.alice, world.bob, world.carol, world.admin))
    withdraw_request(submitted(world), actor=alice)
    request = submitted(world)
    deny_request(request, digest=request.digest, comment="Not so.", actor=bob)
    request = submitted(world, scopes=("orders:read", "orders:cancel"), networks=("10.0.0.0/8",))
    request = return_request(request, digest=request.digest, question="Why?", actor=bob)
    request = edit_request(request, draft(world, scopes=("orders:read", "orders:cancel")), actor=alice)
    request = approve_request(request, digest=request.digest, actor=carol)
    request = narrow_request(request, Narrowing(scopes=("orders:read",)), digest=request.digest, actor=bob)
    request = approve_request(request, digest=request.digest, actor=carol)
    key = ManagedKey.objects.get(request=request)
    claim_secret(key.versions.get(), actor=alice)
    claim_secret(key.versions.get(), actor=acting(world.alice, "claim", session="other"))
    reinstate_key(key, actor=admin)
    renewal = request_renewal(key, authorised_days=300, purpose="Another year of reports.", actor=alice)
    for approver in (bob, carol):
        renewal = approve_request(renewal, digest=renewal.digest, actor=approver)
    claim_secret(issue_new_version(key, actor=alice), actor=alice)
    transfer = offer_transfer(key, to_team=world.other, actor=alice, comment="They own it now.")
    accept_transfer(transfer, recipient=world.mallory, actor=acting(world.mallory, "*"))
    suspend_key(key, actor=admin, reason=SuspensionReason.INVESTIGATION)
    report_leak(key, actor=acting(world.mallory), comment="Seen in a paste.")
    revoke_key(key, actor=admin, reason=RevocationReason.KEY_COMPROMISE)
    production = Environment.objects.get(tag="prod")
    policy = current_policy(world.orders, production)
    assert policy is not None
    rules = replace(rules_of(policy), approvals_required=1)
    set_policy(world.orders, environment=production, rules=rules, base_version=policy.version, actor=admin)
    decide_proposal(PolicyProposal.objects.get(), accept=True, actor=acting(world.admin2, "*"))
    save_template(world.orders, name="Reader", description="", scopes=["orders:read"], actor=admin)
    approved(world, name="Ends with its scope")
    scope = Scope.objects.get(service=world.orders, name="orders:read")
    plan_scope_retirement(scope, retires_at=clock.now() + timedelta(days=3), actor=admin)
    key.refresh_from_db()
    return key


def test_a_whole_life_breaks_no_invariant_and_replays_from_its_events(sealing: object, world: World) -> None:
    key = live_a_whole_life(world)
    assert key.owner_team == world.other
    assert list(breaches()) == []
    call_command("replay_audit_log")


SABOTAGE: dict[str, Callable[[ManagedKey], list[str]]] = {
    "5:": lambda key: [
        f"UPDATE keys_managedkey SET revoked_at = now(), revoked_reason = 'superseded' WHERE id = '{key.pk}'"
    ],
    "6:": lambda key: [f"UPDATE keys_managedkey SET authorised_until = now() WHERE id = '{key.pk}'"],
    "7: a key from": lambda key: ["UPDATE keys_approval SET voided_at = now()"],
    "7: a production key came": lambda key: [f"UPDATE keys_managedkey SET request_id = NULL WHERE id = '{key.pk}'"],
    "7: an approved": lambda key: [f"UPDATE keys_managedkey SET request_id = NULL WHERE id = '{key.pk}'"],
    "7: a key exists": lambda key: ["UPDATE keys_keyrequest SET state = 'denied'"],
    "8:": lambda key: [f"UPDATE keys_managedkey SET scopes = '{{orders:read,orders:write}}' WHERE id = '{key.pk}'"],
    "1: a version": lambda key: ["DELETE FROM audit_event WHERE action = 'version.issued'"],
    "1: a secret": lambda key: [
        (
            "INSERT INTO audit_event (uid, occurred_at, actor_type, actor_id, action, target_type, target_id, environment,"
            " outcome, request_id, payload) SELECT gen_random_uuid(), occurred_at, actor_type, actor_id, action, target_type,"
            " target_id, environment, outcome, request_id, payload FROM audit_event WHERE action = 'version.issued'"
        )
    ],
    "9:": lambda key: ["DELETE FROM audit_event WHERE action = 'key.created'"],
    "4:": lambda key: [
        (
            "INSERT INTO keys_keyversion (id, created_at, managed_key_id, sequence, kid, state, digest, digest_algorithm, row_mac,"
            " last4, claim_until, claimed_session, activated_at, expires_at, suspended_reason, suspended_by, ended_reason, public_key,"
            " sealed_secret)"
            " SELECT gen_random_uuid(), created_at, managed_key_id, sequence + n, 'forgedforged' || n, state, digest,"
            " digest_algorithm, row_mac, last4, claim_until, '', activated_at, expires_at, '', '', '', public_key, sealed_secret"
            " FROM keys_keyversion, generate_series(1, 2) n"
        )
    ],
    "rows:": lambda key: ["UPDATE keys_keyversion SET expires_at = expires_at + interval '1 year'"],
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_each_check_finds_what_it_is_for(sealing: object, world: World, superuser: Superuser, name: str) -> None:
    key, _, _ = issued(world)
    assert list(breaches()) == []
    superuser.execute("SET session_replication_role = replica")
    for table in (
        "audit_event",
        "audit_private",
        "keys_managedkey",
        "keys_keyversion",
        "keys_keyrequest",
        "keys_approval",
    ):
        superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for statement in SABOTAGE[name](key):
        superuser.execute(statement)
    assert any(breach.invariant.startswith(name) for breach in breaches())


def test_every_invariant_has_its_sabotage() -> None:
    names: list[Any] = [next((each for each in SABOTAGE if name.startswith(each)), None) for name in INVARIANTS]
    assert None not in names
