"""Every save and every act of the administration is an operation: with a step-up, by this administrator, on record."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import models
from django.urls import reverse

from audit import clock
from audit.models import AuditEvent
from keys.catalogue.policies import current_policy, rules_of, set_policy
from keys.catalogue.services import save_template
from keys.events import PasskeyEnrolled
from keys.lifecycle.handover import offer_transfer
from keys.lifecycle.revocation import suspend_key
from keys.models import (
    Delegation,
    Environment,
    FactorReset,
    Invitation,
    KeyTransfer,
    KeyVersion,
    Membership,
    Passkey,
    Person,
    Policy,
    PolicyProposal,
    Scope,
    Service,
    Session,
)
from keys.operations import insert, operation
from keys.people.delegates import name_delegate
from keys.people.invitations import invite_person
from keys.people.resets import propose_factor_reset
from keys.people.roles import deactivate_person
from keys.states import Role, SuspensionReason, VersionState
from tests.people import SYSTEM, World, acting, issued, submitted
from tests.portal.doorway import events, hidden, signed_in

pytestmark = pytest.mark.django_db
Made = models.Model | None


@operation
def _give_passkey(person: Person, *, actor: Any = SYSTEM) -> Passkey:
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


@dataclass(frozen=True)
class Case:
    """An act, the row it is done to, what is typed, and the event that tells it."""

    place: type[models.Model]
    act: str
    row: Callable[[World], Made]
    typed: Callable[[World, Any], dict[str, Any]]
    event: str


def _nothing(_world: World, _row: Any) -> dict[str, Any]:
    return {}


def _key(world: World) -> Any:
    return issued(world)[0]


def _suspended(world: World) -> Any:
    key = _key(world)
    suspend_key(key, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    return key


def _production(world: World) -> Policy:
    return current_policy(world.orders, Environment.objects.get(tag="prod"))


def _typed_rules(policy: Policy, **changes: Any) -> dict[str, Any]:
    rules = rules_of(policy)
    found = {name: getattr(rules, name) for name in rules.__dataclass_fields__}
    found["kinds"] = list(found["kinds"])
    found |= changes
    return {name: value for name, value in found.items() if value is not False and value is not None}


def _proposal(world: World) -> PolicyProposal:
    policy = _production(world)
    weaker = replace(rules_of(policy), approvals_required=1)
    return set_policy(
        world.orders,
        environment=policy.environment,
        rules=weaker,
        base_version=policy.version,
        actor=acting(world.admin2, "policy"),
    )


def _reset(world: World) -> FactorReset:
    _give_passkey(world.alice)
    return propose_factor_reset(world.alice, actor=acting(world.admin2, "people"), reason="Lost the telephone at sea.")


def _with_factor(world: World) -> Person:
    _give_passkey(world.anna)
    return world.anna


def _gone(world: World) -> Person:
    _give_passkey(world.admin)
    return deactivate_person(world.anna, actor=acting(world.admin2, "people"))


def _transfer(world: World) -> KeyTransfer:
    return offer_transfer(_key(world), to_team=world.other, actor=acting(world.alice, "handover"))


def _delegation(world: World) -> Delegation:
    at = clock.now()
    return name_delegate(
        world.bob,
        actor=acting(world.bob, "people"),
        delegate=world.ben,
        starts_at=at,
        ends_at=at + timedelta(days=3),
    )


def _template(world: World) -> Any:
    return save_template(
        world.orders, name="Reader", description="", scopes=["orders:read"], actor=acting(world.admin2, "catalogue")
    )


def _invitation(world: World) -> Invitation:
    return invite_person("new@example.com", name="New", actor=acting(world.admin2, "people")).invitation


def _none(_world: World) -> None:
    return None


def _tomorrow(_world: World, row: Any) -> dict[str, Any]:
    day = (clock.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    return {"retires_at": day, "phrase": row.slug if isinstance(row, Service) else row.name}


ORDERS_TEAM_WORDS = {"name": "Order desk", "description": "Answers for orders."}
M = {model._meta.model_name: model for model in admin.site._registry}
CASES = [
    Case(M["person"], "invite", _none, lambda w, r: {"email": "x@example.com", "name": "X"}, "person.invited"),
    Case(M["person"], "rename", lambda w: w.anna, lambda w, r: {"name": "Anna B."}, "person.changed"),
    Case(M["person"], "roles", lambda w: w.anna, lambda w, r: {"roles": ["auditor"]}, "person.roles-changed"),
    Case(M["person"], "invite-again", lambda w: w.anna, _nothing, "invitation.created"),
    Case(
        M["person"],
        "reset-factors",
        _with_factor,
        lambda w, r: {"reason": "Lost the telephone at sea."},
        "factor-reset.proposed",
    ),
    Case(M["person"], "deactivate", lambda w: w.anna, lambda w, r: {"phrase": r.email}, "person.deactivated"),
    Case(M["person"], "reactivate", _gone, _nothing, "person.reactivated"),
    Case(
        M["person"],
        "erase",
        _gone,
        lambda w, r: {"reason": "no-longer-needed", "phrase": r.email},
        "person.erased",
    ),
    Case(M["invitation"], "link", _invitation, _nothing, "invitation.link-made"),
    Case(M["invitation"], "revoke", _invitation, _nothing, "invitation.revoked"),
    Case(M["factorreset"], "decline", _reset, _nothing, "factor-reset.declined"),
    Case(M["team"], "create", _none, lambda w, r: {"slug": "desk", **ORDERS_TEAM_WORDS}, "team.created"),
    Case(M["team"], "change", lambda w: w.reporting, lambda w, r: ORDERS_TEAM_WORDS, "team.changed"),
    Case(
        M["team"],
        "add-member",
        lambda w: w.reporting,
        lambda w, r: {"person": w.carol.pk, "roles": ["developer"]},
        "membership.added",
    ),
    Case(M["team"], "retire", lambda w: w.other, lambda w, r: {"phrase": r.slug}, "team.retired"),
    Case(
        M["membership"],
        "roles",
        lambda w: Membership.objects.get(person=w.anna),
        lambda w, r: {"roles": ["developer", "lead"]},
        "membership.roles-changed",
    ),
    Case(M["membership"], "end", lambda w: Membership.objects.get(person=w.anna), _nothing, "membership.ended"),
    Case(M["delegation"], "end", _delegation, _nothing, "delegation.ended"),
    Case(
        M["service"],
        "create",
        _none,
        lambda w, r: {"slug": "trades", "name": "Trades", "description": "", "owner_team": w.orders_team.pk},
        "service.created",
    ),
    Case(
        M["service"],
        "change",
        lambda w: w.orders,
        lambda w, r: {"name": "Orders", "description": "More.", "owner_team": w.orders_team.pk},
        "service.changed",
    ),
    Case(
        M["service"],
        "add-scope",
        lambda w: w.orders,
        lambda w, r: {"name": "orders:all", "description": "All.", "access": "admin", "risk": "critical"},
        "scope.created",
    ),
    Case(
        M["service"],
        "add-template",
        lambda w: w.orders,
        lambda w, r: {"name": "Reader", "description": "", "scopes": ["orders:read"]},
        "template.created",
    ),
    Case(M["service"], "retire", lambda w: w.orders, _tomorrow, "service.retirement-planned"),
    Case(
        M["scope"],
        "change",
        lambda w: Scope.objects.get(name="orders:read"),
        lambda w, r: {"description": "Reads.", "risk": "medium"},
        "scope.changed",
    ),
    Case(M["scope"], "retire", lambda w: Scope.objects.get(name="orders:read"), _tomorrow, "scope.retirement-planned"),
    Case(
        M["keytemplate"],
        "change",
        _template,
        lambda w, r: {"name": "Reader", "description": "Reads.", "scopes": ["orders:read"]},
        "template.changed",
    ),
    Case(M["keytemplate"], "retire", _template, _nothing, "template.retired"),
    Case(
        M["environment"],
        "rename",
        lambda w: Environment.objects.get(tag="test"),
        lambda w, r: {"name": "Staging"},
        "environment.changed",
    ),
    Case(
        M["policy"],
        "new-version",
        _production,
        lambda w, r: _typed_rules(r, max_cryptoperiod_days=30),
        "policy.versioned",
    ),
    Case(M["policyproposal"], "accept", _proposal, lambda w, r: {"phrase": r.service.slug}, "policy-proposal.decided"),
    Case(M["policyproposal"], "refuse", _proposal, _nothing, "policy-proposal.decided"),
    Case(
        M["managedkey"],
        "suspend",
        _key,
        lambda w, r: {"reason": "investigation", "phrase": str(r)},
        "version.suspended",
    ),
    Case(
        M["managedkey"],
        "revoke",
        _key,
        lambda w, r: {"reason": "key-compromise", "phrase": str(r)},
        "key.revoked",
    ),
    Case(M["managedkey"], "reinstate", _suspended, lambda w, r: {"phrase": str(r)}, "version.reinstated"),
    Case(M["keytransfer"], "withdraw", _transfer, _nothing, "transfer.decided"),
]
IDS = [f"{case.place._meta.model_name}-{case.act}" for case in CASES]


def _address(case: Case, row: Made) -> str:
    name = f"admin:keys_{case.place._meta.model_name}"
    return reverse(f"{name}_add") if row is None else reverse(f"{name}_act", args=[row.pk, case.act])


def _act(case: Case) -> Any:
    return next(act for act in admin.site._registry[case.place].acts if act.name == case.act)


def _post(client: Any, case: Case, row: Made, world: World) -> Any:
    address = _address(case, row)
    seen = hidden(client.get(address), "seen")
    return client.post(address, {**case.typed(world, row), "seen": seen})


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_act_calls_its_operation_as_this_administrator(world, case):
    row = case.row(world)
    device = f"passkey:{_give_passkey(world.admin).pk}" if case.place is FactorReset else ""
    client = signed_in(world.admin, _act(case).purpose, device=device)
    before = len(events(action=case.event))
    answer = _post(client, case, row, world)
    assert answer.status_code in (200, 302), answer.content.decode()[-3000:]
    if answer.status_code == 200:
        assert case.act == "link"  # shown in the answer itself, once
    made = events(action=case.event)[before:]
    assert len(made) >= 1
    assert {(event.actor_type, event.actor_id) for event in made} == {("person", str(world.admin.pk))}
    assert made[-1].envelope()["auth"]["mfa"] is True


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_act_without_a_step_up_changes_nothing_and_keeps_what_was_typed(world, case):
    row = case.row(world)
    other = "handover" if _act(case).purpose != "handover" else "people"
    client = signed_in(world.admin, other)
    before = AuditEvent.objects.exclude(action__startswith="second-factor").count()
    answer = _post(client, case, row, world)
    assert answer.status_code == 422
    assert AuditEvent.objects.exclude(action__startswith="second-factor").count() == before
    page = answer.content.decode()
    for value in case.typed(world, row).values():
        if (
            isinstance(value, str)
            and "-" not in value
            and value not in ("investigation", "admin", "critical", "medium")
        ):
            assert f'value="{value}"' in page or value in page


def test_every_act_is_in_the_table():
    there = {(model._meta.model_name, act.name) for model, place in admin.site._registry.items() for act in place.acts}
    tested = {(case.place._meta.model_name, case.act) for case in CASES}
    assert there - tested == {("keyrequest", "approve"), ("factorreset", "confirm")}  # below


def test_what_an_operation_refuses_stands_in_the_form(world):
    client = signed_in(world.admin, "people")
    seen = hidden(client.get("/admin/keys/team/add/"), "seen")
    answer = client.post("/admin/keys/team/add/", {"slug": "orders", "name": "Another", "seen": seen})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "This is taken already. Choose another." in page
    assert 'value="Another"' in page


def test_an_administrator_does_not_change_their_own_roles(world):
    client = signed_in(world.admin, "people")
    address = reverse("admin:keys_person_act", args=[world.admin.pk, "roles"])
    answer = client.post(address, {"roles": ["auditor"], "seen": hidden(client.get(address), "seen")})
    assert answer.status_code == 403
    assert "Nobody gives roles to themselves" in answer.content.decode()
    assert events(action="access.denied")[-1].envelope()["reason"] == "not_your_own_roles"
    world.admin.refresh_from_db()
    assert world.admin.roles == [Role.ADMINISTRATOR]


def test_the_proposer_of_a_reset_or_a_policy_does_not_confirm_it(world):
    reset, proposal = _reset(world), _proposal(world)
    client = signed_in(world.admin2, "*")
    for address, phrase in (
        (reverse("admin:keys_factorreset_act", args=[reset.pk, "confirm"]), world.alice.email),
        (reverse("admin:keys_policyproposal_act", args=[proposal.pk, "accept"]), "orders"),
    ):
        answer = client.post(address, {"phrase": phrase, "seen": hidden(client.get(address), "seen")})
        assert answer.status_code == 403
    assert Passkey.objects.usable().filter(user=world.alice).exists()
    assert not Policy.objects.filter(approvals_required=1, environment=proposal.environment).exists()


def test_weakening_production_is_only_proposed_and_says_so(world):
    client = signed_in(world.admin, "policy")
    policy = _production(world)
    address = reverse("admin:keys_policy_act", args=[policy.pk, "new-version"])
    typed = _typed_rules(policy, approvals_required=1) | {"seen": hidden(client.get(address), "seen")}
    look = client.post(address, typed | {"_look": "1"})
    assert look.status_code == 200
    assert "weaker" in look.content.decode()
    assert not PolicyProposal.objects.exists()
    answer = client.post(address, typed, follow=True)
    assert "A second administrator has to accept it." in answer.content.decode()
    assert PolicyProposal.objects.get().weakened == ["approvals_required"]
    assert _production(world).version == policy.version


def test_a_policy_that_changed_meanwhile_is_not_overwritten(world):
    client = signed_in(world.admin, "policy")
    policy = _production(world)
    address = reverse("admin:keys_policy_act", args=[policy.pk, "new-version"])
    seen = hidden(client.get(address), "seen")
    stricter = replace(rules_of(policy), max_authorised_days=100)
    set_policy(
        world.orders,
        environment=policy.environment,
        rules=stricter,
        base_version=policy.version,
        actor=acting(world.admin2, "policy"),
    )
    answer = client.post(address, _typed_rules(policy, max_cryptoperiod_days=30) | {"seen": seen})
    assert answer.status_code == 409
    assert "Somebody changed this policy meanwhile" in answer.content.decode()


def test_a_retirement_shows_the_living_keys_and_ends_them_by_plan(world):
    key, version, _secret = issued(world)
    client = signed_in(world.admin, "catalogue")
    address = reverse("admin:keys_service_act", args=[world.orders.pk, "retire"])
    page = client.get(address)
    assert str(key) in page.content.decode()
    day = (clock.now() + timedelta(days=2)).replace(second=0, microsecond=0)
    typed = {"retires_at": day.strftime("%Y-%m-%dT%H:%M"), "phrase": "orders", "seen": hidden(page, "seen")}
    assert client.post(address, typed).status_code == 302
    key.refresh_from_db()
    version.refresh_from_db()
    assert key.authorised_until == day
    assert version.expires_at == day
    assert Service.objects.get(pk=world.orders.pk).retires_at == day


def test_a_link_is_shown_in_the_answer_and_rests_nowhere(world):
    invitation = _invitation(world)
    client = signed_in(world.admin, "people")
    address = reverse("admin:keys_invitation_act", args=[invitation.pk, "link"])
    answer = client.post(address, {"seen": hidden(client.get(address), "seen")})
    found = re.search(r"http://[^/]+/invitation/([A-Za-z0-9_-]{43})/", answer.content.decode())
    assert found is not None
    assert "no-store" in answer["Cache-Control"]
    assert found[1] not in client.get("/admin/").content.decode()
    assert found[1] not in "".join(Session.objects.values_list("content", flat=True))


# --- several at once ---------------------------------------------------------------------------------------------------


def _choose(client: Any, model: str, act: str, rows: list[Any]) -> Any:
    address = reverse(f"admin:keys_{model}_changelist")
    return client.post(address, {"action": act, "_selected_action": [str(row.pk) for row in rows], "index": "0"})


def _confirm(client: Any, model: str, act: str, page: Any, **typed: Any) -> Any:
    address = reverse(f"admin:keys_{model}_bulk", args=[act])
    return client.post(address, {"seen": hidden(page, "seen"), **typed})


def test_several_keys_are_revoked_with_a_look_before_and_a_receipt_after(world):
    keys = [issued(world)[0], issued(world, environment="test")[0]]
    client = signed_in(world.admin, "revoke")
    page = _choose(client, "managedkey", "revoke", keys)
    assert page.status_code == 200
    assert all(str(key) in page.content.decode() for key in keys)
    assert not events(action="key.revoked")
    wrong = _confirm(client, "managedkey", "revoke", page, reason="superseded", phrase="revoke 3 keys")
    assert wrong.status_code == 422
    assert not events(action="key.revoked")
    receipt = _confirm(client, "managedkey", "revoke", page, reason="superseded", phrase="revoke 2 keys")
    assert "2 of 2 done." in receipt.content.decode()
    assert {event.target_id for event in events(action="key.revoked", actor_id=str(world.admin.pk))} == {
        str(key.pk) for key in keys
    }
    assert not KeyVersion.objects.filter(state=VersionState.ACTIVE).exists()
    again = _confirm(client, "managedkey", "revoke", page, reason="superseded", phrase="revoke 2 keys")
    assert "0 of 2 done." in again.content.decode()
    assert "This key was revoked already." in again.content.decode()


def test_a_choice_cannot_be_swapped_under_the_page(world):
    key, other = issued(world)[0], issued(world, environment="test")[0]
    client = signed_in(world.admin, "*")
    page = _choose(client, "managedkey", "suspend", [key])
    forged = client.post(
        reverse("admin:keys_managedkey_bulk", args=["revoke"]),
        {"seen": hidden(page, "seen"), "reason": "superseded", "phrase": str(key), "_selected_action": str(other.pk)},
        follow=True,
    )
    assert "This page was open for too long" in forged.content.decode()
    assert not events(action="key.revoked")


def test_requests_that_are_not_alike_are_not_approved_at_once(world):
    first, second = submitted(world), submitted(world, environment="test")
    client = signed_in(world.admin, "approve")
    answer = _choose(client, "keyrequest", "approve", [first, second])
    assert answer.status_code == 302
    assert "read all others one by one" in client.get(answer["location"]).content.decode()


def test_an_administrator_who_is_no_approver_is_told_so_and_refused(world):
    request = submitted(world)
    client = signed_in(world.admin, "approve")
    page = _choose(client, "keyrequest", "approve", [request])
    assert "You are not an approver of this service" in page.content.decode()
    receipt = _confirm(client, "keyrequest", "approve", page)
    assert "0 of 1 done." in receipt.content.decode()
    request.refresh_from_db()
    assert request.state == "pending"


def test_an_administrator_who_is_an_approver_approves_exactly_what_was_shown(world):
    _seat(world)
    template = _template(world)
    requests = [submitted(world, template=template.name, name=name) for name in ("One report", "Two reports")]
    client = signed_in(world.admin, "approve")
    page = _choose(client, "keyrequest", "approve", requests)
    receipt = _confirm(client, "keyrequest", "approve", page, comment="Alike.")
    assert "2 of 2 done." in receipt.content.decode()
    given = events(action="approval.given", actor_id=str(world.admin.pk))
    assert {event.envelope()["change"]["digest"][1] for event in given} == {request.digest for request in requests}


def test_content_that_changed_after_the_look_is_not_approved(world):
    from keys.approvals.submission import edit_request
    from tests.people import draft

    _seat(world)
    request = submitted(world)
    client = signed_in(world.admin, "approve")
    address = reverse("admin:keys_keyrequest_act", args=[request.pk, "approve"])
    seen = hidden(client.get(address), "seen")
    edit_request(request, draft(world, scopes=("orders:read", "orders:write")), actor=acting(world.alice))
    answer = client.post(address, {"seen": seen})
    assert answer.status_code == 409
    assert "changed after you opened it" in answer.content.decode()
    assert not events(action="approval.given")


@operation
def _seat(world: World, *, actor: Any = SYSTEM) -> Membership:
    from keys.events import MemberAdded

    row = Membership(team=world.orders_team, person=world.admin, roles=["approver"], created_at=clock.now())
    return insert(row, MemberAdded, actor=actor, at=row.created_at)


def test_a_factor_reset_is_confirmed_by_a_second_administrator_with_a_settled_factor(world):
    reset = _reset(world)
    client = signed_in(world.admin, "people")
    address = reverse("admin:keys_factorreset_act", args=[reset.pk, "confirm"])
    answer = client.post(address, {"phrase": world.alice.email, "seen": hidden(client.get(address), "seen")})
    # A session that was opened with no settled factor decides nothing about others.
    assert answer.status_code == 403
    assert Passkey.objects.usable().filter(user=world.alice).exists()
    client = signed_in(world.admin, "people", device=f"passkey:{_give_passkey(world.admin).pk}")
    seen = hidden(client.get(address), "seen")
    assert client.post(address, {"phrase": world.alice.email, "seen": seen}).status_code == 302
    assert not Passkey.objects.usable().filter(user=world.alice).exists()
    assert events(action="factor-reset.confirmed")[-1].actor_id == str(world.admin.pk)
