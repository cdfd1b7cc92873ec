"""Every save and every act of the administration is an operation: with a step-up, by this administrator, on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import models
from django.urls import reverse

from audit import clock
from audit.models import AuditEvent
from keys.models import Environment, FactorReset, Membership, Scope, Service
from tests.people import World
from tests.portal.admin.rows import (
    give_passkey,
    leaver,
    living_key,
    named_delegation,
    offered_transfer,
    person_with_factor,
    production_policy,
    proposed_policy,
    proposed_reset,
    saved_template,
    sent_invitation,
    suspended_key,
    typed_rules,
)
from tests.portal.doorway import events, hidden, signed_in

pytestmark = pytest.mark.django_db
Made = models.Model | None


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
        person_with_factor,
        lambda w, r: {"reason": "Lost the telephone at sea."},
        "factor-reset.proposed",
    ),
    Case(M["person"], "deactivate", lambda w: w.anna, lambda w, r: {"phrase": r.email}, "person.deactivated"),
    Case(M["person"], "reactivate", leaver, _nothing, "person.reactivated"),
    Case(
        M["person"],
        "erase",
        leaver,
        lambda w, r: {"reason": "no-longer-needed", "phrase": r.email},
        "person.erased",
    ),
    Case(M["invitation"], "link", sent_invitation, _nothing, "invitation.link-made"),
    Case(M["invitation"], "revoke", sent_invitation, _nothing, "invitation.revoked"),
    Case(M["factorreset"], "decline", proposed_reset, _nothing, "factor-reset.declined"),
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
    Case(M["delegation"], "end", named_delegation, _nothing, "delegation.ended"),
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
        saved_template,
        lambda w, r: {"name": "Reader", "description": "Reads.", "scopes": ["orders:read"]},
        "template.changed",
    ),
    Case(M["keytemplate"], "retire", saved_template, _nothing, "template.retired"),
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
        production_policy,
        lambda w, r: typed_rules(r, max_cryptoperiod_days=30),
        "policy.versioned",
    ),
    Case(
        M["policyproposal"],
        "accept",
        proposed_policy,
        lambda w, r: {"phrase": r.service.slug},
        "policy-proposal.decided",
    ),
    Case(M["policyproposal"], "refuse", proposed_policy, _nothing, "policy-proposal.decided"),
    Case(
        M["managedkey"],
        "suspend",
        living_key,
        lambda w, r: {"reason": "investigation", "phrase": str(r)},
        "version.suspended",
    ),
    Case(
        M["managedkey"],
        "revoke",
        living_key,
        lambda w, r: {"reason": "key-compromise", "phrase": str(r)},
        "key.revoked",
    ),
    Case(M["managedkey"], "reinstate", suspended_key, lambda w, r: {"phrase": str(r)}, "version.reinstated"),
    Case(M["keytransfer"], "withdraw", offered_transfer, _nothing, "transfer.decided"),
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
    device = f"passkey:{give_passkey(world.admin).pk}" if case.place is FactorReset else ""
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
