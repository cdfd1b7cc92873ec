"""While the log is behind nothing is granted, and everything that stops, ends or lets people in works."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import keys
from audit import clock
from audit.checkpoints import MOST_COUNTED, Backlog
from audit.models import AuditEvent
from keys.approvals.decisions import Narrowing, approve_request, deny_request, narrow_request
from keys.approvals.submission import withdraw_request
from keys.catalogue.policies import current_policy, decide_proposal, rules_of, set_policy
from keys.catalogue.services import change_scope, change_service, plan_scope_retirement
from keys.errors import Denied, Unavailable
from keys.lifecycle.claiming import ClaimOutcome, claim_secret
from keys.lifecycle.handover import accept_transfer, decline_transfer, offer_transfer
from keys.lifecycle.revocation import reinstate_key, report_leak, revoke_key, suspend_key
from keys.lifecycle.rotation import issue_new_version
from keys.models import Environment, ManagedKey, Membership, PolicyProposal, Scope
from keys.people.delegates import name_delegate
from keys.people.invitations import invite_person
from keys.people.roles import change_roles, deactivate_person, reactivate_person
from keys.people.teams import add_member, change_member_roles, end_membership
from keys.states import RevocationReason, SuspensionReason
from tests.people import World, acting, approved, issued, submitted
from tests.sealers import SealingThread

# What opens something to somebody, always or by what is asked. Everything else must work whatever the log is doing:
# before you move an operation out of NEVER, ask who could not stop something without it.
ALWAYS = {
    "accept_transfer",
    "add_member",
    "approve_request",
    "hasten_rotation",
    "invite_person",
    "issue_new_version",
    "name_delegate",
    "name_recipient",
    "narrow_request",
    "prepare_rotation",
    "reactivate_person",
    "reinstate_key",
    "start_rotation",
    "take_back_rotation",
    "undo_rotation",
}
SOMETIMES = {
    "abandon_rotation",  # when what was fetched and not activated waits for its owner again
    "activate_fetched",  # when the fetched secret begins to verify
    "hand_over",  # when a secret is minted; a second token stops the rotation
    "intend_fetch",  # the same
    "change_member_roles",  # when a role is added
    "change_roles",  # the same
    "change_scope",  # when its risk changes
    "change_service",  # when another team decides about it
    "decide_proposal",  # when it is accepted
    "edit_request",  # when the policy asks for no approval, so that a key comes of it
    "intend_claim",  # a second claim stops
    "issue_secret",  # the same
    "override_retirement",  # when the old version lives longer
    "request_renewal",  # when the policy asks for no approval
    "set_policy",  # when the rules become weaker
    "submit_request",  # when the policy asks for no approval, so that a key comes of it
}
NEVER = {
    # they stop, end, refuse or take back
    "abort_rotation", "cancel_export", "decline_factor_reset", "decline_transfer", "deactivate_person", "deny_device",
    "deny_request", "end_changed_session",
    "execute_emergency",  # what it prepares is handed over by a claim, and that grants
    "destroy_version", "end_delegation", "end_membership", "end_session", "end_version", "end_versions", "finish_retirement",
    "finish_rotation",
    "lapse_request", "leave_claim", "plan_scope_retirement", "plan_service_retirement", "record_integrity_failure",
    "refuse_put_back",
    "report_breaches", "report_leak", "retire_by_traffic", "retire_team", "retire_template", "return_request", "revoke_invitation",
    "revoke_key", "suspend_key", "withdraw_request", "withdraw_transfer",
    # they let in who has a place: nobody stops anything from outside
    "accept_invitation", "allow_device", "begin_device_sign_in", "change_password", "complete_password_reset",
    "confirm_factor_reset", "confirm_totp",
    "enrol_passkey", "enrol_totp", "enter_administration", "invite_again", "invite_first_administrator",
    "make_invitation_link", "make_recovery_codes", "make_reset_link", "order_recovery", "propose_factor_reset",
    "enter_code", "prove_passkey", "prove_password", "prove_recovery_code", "prove_totp", "redeem_device_code",
    "remove_factor", "request_password_reset",
    # they look after the log, most of all when it is behind
    "answer_by_hand", "ask_inspection", "decide_periods", "erase_again", "erase_person", "expire_private_parts",
    "follow_log", "lift_hold", "move_reader_back", "place_hold", "set_periods",
    # they ask, name or read; nothing is open before somebody grants it
    "bootstrap", "change_saved_search", "change_team", "create_scope", "create_service", "create_team", "draw_sample",
    "enter_log", "export_bundle", "export_log", "list_holds", "nudge_request", "offer_transfer", "prepare_statement",
    "read_entry", "read_event", "read_export", "read_exports", "read_inspections", "read_key_life", "read_proof",
    "read_sample", "redraw_sample", "remove_saved_search", "rename_environment", "rename_person", "request_export",
    "save_search", "save_template", "search_log", "take_export", "take_receipt", "view_retention",
    # they say where events are sent, and nothing is sent before it is sealed
    "add_endpoint", "change_endpoint", "disable_endpoint", "enable_endpoint", "redeliver", "remove_endpoint",
    "rotate_endpoint_secret", "send_test_event",
    # they say how people are told and how often jobs run, or read what programs and jobs did
    "add_chat", "change_schedule", "choose_quiet", "choose_team_mail", "create_schedules", "make_feed", "read_jobs",
    "read_receipts", "read_troubled_rows", "read_verifiers", "remove_feed",
}  # fmt: skip

LATE = Backlog(waiting=1, age=timedelta(seconds=61))
Stop = Callable[[], None]


def operations() -> dict[str, str]:
    """Every operation of the floor by name, and what it says of itself."""
    found = {}
    for module in pkgutil.walk_packages(keys.__path__, "keys."):
        if ".migrations" in module.name or ".management.commands" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if getattr(value, "is_operation", False) and value.__module__ == module.name:
                found[name] = value.grants
    return found


def test_every_operation_is_classified() -> None:
    said = operations()
    assert {name for name, grants in said.items() if grants == "always"} == ALWAYS
    assert {name for name, grants in said.items() if grants == "sometimes"} == SOMETIMES
    # What begins with an underscore is part of a door that is listed.
    assert {name for name, grants in said.items() if grants == "never" and not name.startswith("_")} == NEVER


@pytest.fixture
def fall_behind(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Call it, and from then on the sealer is late."""
    return lambda: monkeypatch.setattr("keys.operations.backlog", lambda: LATE)


def refused(act: Callable[[], Any]) -> None:
    before = AuditEvent.objects.count()
    with pytest.raises(Unavailable, match="audit_behind"):
        act()
    assert AuditEvent.objects.count() == before, "what was refused left nothing"


def test_no_key_comes_to_be_and_no_secret_leaves(world: World, fall_behind: Stop) -> None:
    request, waiting = submitted(world), approved(world, name="Waiting")
    lost = issued(world, name="Lost")[0]
    suspended = issued(world, name="Suspended")[0]
    suspend_key(suspended, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    wide = submitted(world, name="Wide", scopes=("orders:read", "orders:cancel"))
    fall_behind()
    bob, alice = acting(world.bob, "approve"), acting(world.alice, "claim")
    refused(lambda: approve_request(request, digest=request.digest, actor=bob))
    refused(lambda: narrow_request(wide, Narrowing(scopes=("orders:read",)), digest=wide.digest, actor=bob))
    refused(lambda: claim_secret(waiting.versions.get(), actor=alice))
    refused(lambda: issue_new_version(lost, actor=alice))
    refused(lambda: reinstate_key(suspended, actor=acting(world.admin, "reinstate")))
    refused(lambda: submitted(world, environment="dev", name="At once"))  # the policy asks for no approval
    assert submitted(world, name="Asked").state == "pending"
    with pytest.raises(Denied):  # a denial is a denial, whatever the sealer does
        approve_request(request, digest=request.digest, actor=acting(world.alice, "approve"))
    assert waiting.versions.get().claimed_at is None


def test_no_key_is_passed_on(world: World, fall_behind: Stop) -> None:
    lead = acting(world.bob, "handover")
    offers = [
        offer_transfer(issued(world, name=name)[0], to_team=world.orders_team, actor=acting(world.alice, "handover"))
        for name in ("One", "Two")
    ]
    fall_behind()
    refused(lambda: accept_transfer(offers[0], recipient=world.ben, actor=lead))
    assert decline_transfer(offers[1], actor=lead).outcome == "declined"


def test_nobody_gets_a_place_or_a_role(world: World, fall_behind: Stop) -> None:
    admin = acting(world.admin, "*")
    deactivate_person(world.mallory, actor=admin)
    fall_behind()
    anna = Membership.objects.get(person=world.anna)
    at = clock.now()
    refused(lambda: invite_person("new@example.com", name="New", actor=admin))
    refused(lambda: reactivate_person(world.mallory, actor=admin))
    refused(lambda: change_roles(world.anna, roles=["auditor"], actor=admin))
    refused(lambda: add_member(world.orders_team, person=world.anna, roles=["developer"], actor=admin))
    refused(lambda: change_member_roles(anna, roles=["developer", "lead"], actor=admin))
    span = {"starts_at": at, "ends_at": at + timedelta(days=1)}
    refused(lambda: name_delegate(world.bob, delegate=world.ben, actor=acting(world.bob, "*"), **span))
    assert change_roles(world.responder, roles=[], actor=admin).roles == []
    lead = Membership.objects.get(person=world.alice)
    assert change_member_roles(lead, roles=["developer"], actor=admin).roles == ["developer"]
    end_membership(anna, actor=admin)
    assert not deactivate_person(world.ben, actor=admin).is_active


def test_no_rule_becomes_weaker(world: World, fall_behind: Stop) -> None:
    admin, admin2 = acting(world.admin, "*"), acting(world.admin2, "*")
    production, test = Environment.objects.get(tag="prod"), Environment.objects.get(tag="test")
    scope = Scope.objects.get(service=world.orders, name="orders:write")

    def change(environment: Environment, **rules: Any) -> Any:
        policy = current_policy(world.orders, environment)
        assert policy is not None
        wanted = replace(rules_of(policy), **rules)
        return set_policy(world.orders, environment=environment, rules=wanted, base_version=policy.version, actor=admin)

    proposal = change(production, claim_hours=1000 // 10)
    assert isinstance(proposal, PolicyProposal)
    fall_behind()
    refused(lambda: decide_proposal(proposal, accept=True, actor=admin2))
    refused(lambda: change(test, approvals_required=0, service_approvals_required=0))
    refused(lambda: change_scope(scope, description="Writes.", risk="low", actor=admin))
    words = {"name": "Orders", "description": "Places orders."}
    refused(lambda: change_service(world.orders, owner_team=world.security, actor=admin, **words))
    assert decide_proposal(proposal, accept=False, actor=admin2) is None
    assert change(production, networks_required=True).networks_required
    assert change_scope(scope, description="Writes orders.", risk="high", actor=admin).description == "Writes orders."
    assert change_service(world.orders, owner_team=world.orders_team, actor=admin, **words)


def test_stopping_always_works(world: World, fall_behind: Stop) -> None:
    everything = [issued(world, name=f"Key {number}") for number in range(4)]
    (first, second, third, (fourth, version, _)) = (
        each if number == 3 else each[0] for number, each in enumerate(everything)
    )
    denied, withdrawn = submitted(world, name="Denied"), submitted(world, name="Withdrawn")
    fall_behind()
    revoke_key(first, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    suspend_key(second, actor=acting(world.responder, "suspend"), reason=SuspensionReason.INVESTIGATION)
    report_leak(third, actor=acting(world.anna))
    again = claim_secret(version, actor=acting(world.alice, "claim", session="elsewhere"))
    assert again.outcome == ClaimOutcome.MISUSED
    deny_request(denied, digest=denied.digest, comment="Not now.", actor=acting(world.bob, "approve"))
    withdraw_request(withdrawn, actor=acting(world.alice))
    scope = Scope.objects.get(service=world.orders, name="orders:cancel")
    plan_scope_retirement(scope, retires_at=clock.now() + timedelta(days=1), actor=acting(world.admin, "catalogue"))
    states = {key.name: key.versions.get().state for key in ManagedKey.objects.filter(name__startswith="Key ")}
    assert sorted(states.values()) == ["compromised", "suspended", "suspended", "suspended"]
    assert fourth.versions.get().state == "suspended"


@pytest.mark.parametrize(
    ("found", "is_late"),
    [
        (Backlog(waiting=1, age=timedelta(seconds=61)), True),
        (Backlog(waiting=MOST_COUNTED, age=timedelta(seconds=1)), True),
        (Backlog(waiting=MOST_COUNTED - 1, age=timedelta(seconds=60)), False),
    ],
)
def test_behind_is_a_minute_or_ten_thousand_events(found: Backlog, is_late: bool) -> None:
    assert found.is_late == is_late


def test_granting_goes_on_when_the_sealer_is_back(
    sealing: SealingThread, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, bob = submitted(world), acting(world.bob, "approve")
    sealing.settle()
    sealing.stop()
    withdrawn = submitted(world, name="Withdrawn")
    monkeypatch.setattr("audit.checkpoints.LATE", timedelta(seconds=1))
    time.sleep(1.1)
    refused(lambda: approve_request(request, digest=request.digest, actor=bob))
    withdraw_request(withdrawn, actor=acting(world.alice))
    sealing.start().settle()
    assert approve_request(request, digest=request.digest, actor=bob).pk == request.pk
