"""The rules about people, as pure functions: each condition on its own."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from audit.actor import Actor, ActorKind, Auth, StepUp
from keys.policy import people_rules as rules
from keys.policy.facts import ActorFacts
from keys.states import Role, TeamRole

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADMIN, OTHER, TEAM = uuid4(), uuid4(), uuid4()
ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})


def acting(person_id=ADMIN, *purposes, age=timedelta(0)):
    steps = tuple(StepUp(purpose=each, method="totp", at=AT - age) for each in purposes)
    return Actor(kind=ActorKind.PERSON, id=str(person_id), auth=Auth(mfa=True, step_ups=steps))


def admin_facts(**changes):
    return ActorFacts(**({"person_id": ADMIN, "active": True, "roles": ADMINISTRATOR} | changes))


def person(person_id=OTHER, **changes):
    return rules.PersonFacts(**({"person_id": person_id, "active": True, "roles": frozenset()} | changes))


READY = acting(ADMIN, "people")


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (lambda: rules.may_invite(READY, admin_facts(), at=AT), None),
        (lambda: rules.may_invite(acting(), admin_facts(), at=AT), "step_up_required"),
        (
            lambda: rules.may_invite(acting(ADMIN, "people", age=timedelta(minutes=6)), admin_facts(), at=AT),
            "step_up_required",
        ),
        (lambda: rules.may_invite(acting(ADMIN, "policy"), admin_facts(), at=AT), "step_up_required"),
        (lambda: rules.may_invite(READY, admin_facts(roles=frozenset()), at=AT), "not_an_administrator"),
        (lambda: rules.may_invite(READY, admin_facts(active=False), at=AT), "not_active"),
        (lambda: rules.may_change_roles(READY, admin_facts(), person(), ADMINISTRATOR, at=AT), None),
        (
            lambda: rules.may_change_roles(READY, admin_facts(), person(ADMIN), ADMINISTRATOR, at=AT),
            "not_your_own_roles",
        ),
        (
            lambda: rules.may_change_roles(READY, admin_facts(), person(is_last_administrator=True), (), at=AT),
            "last_administrator",
        ),
        (lambda: rules.may_deactivate(READY, admin_facts(), person(), at=AT), None),
        (lambda: rules.may_deactivate(READY, admin_facts(), person(ADMIN), at=AT), "not_yourself"),
        (
            lambda: rules.may_deactivate(READY, admin_facts(), person(is_last_administrator=True), at=AT),
            "last_administrator",
        ),
        (lambda: rules.may_reactivate(READY, admin_facts(), person(ADMIN, active=False), at=AT), "not_yourself"),
        (lambda: rules.may_rename(acting(OTHER), ActorFacts(person_id=OTHER, active=True), person(), at=AT), None),
        (
            lambda: rules.may_rename(acting(OTHER), ActorFacts(person_id=OTHER, active=True), person(ADMIN), at=AT),
            "not_an_administrator",
        ),
        (lambda: rules.may_propose_reset(READY, admin_facts(), person(), at=AT), None),
        (lambda: rules.may_propose_reset(READY, admin_facts(), person(ADMIN), at=AT), "not_yourself"),
        (lambda: rules.may_propose_reset(READY, admin_facts(), person(active=False), at=AT), "person_not_active"),
        (
            lambda: rules.may_propose_reset(READY, ActorFacts(active=True, operator=True), person(), at=AT),
            "people_only",
        ),
    ],
)
def test_administrators_and_whom_they_act_on(decision, code):
    outcome = decision()
    assert (None if outcome else outcome.code) == code


LEAD = ActorFacts(person_id=ADMIN, active=True, teams={TEAM: frozenset({TeamRole.LEAD})})


@pytest.mark.parametrize(
    ("who", "person_id", "added", "code"),
    [
        (admin_facts(), OTHER, {TeamRole.LEAD}, None),
        (admin_facts(), ADMIN, {TeamRole.DEVELOPER}, None),
        (admin_facts(), ADMIN, {TeamRole.APPROVER}, "not_your_own_roles"),
        (LEAD, OTHER, {TeamRole.APPROVER}, None),
        (LEAD, OTHER, {TeamRole.LEAD}, "administrators_only"),
        (LEAD, ADMIN, {TeamRole.APPROVER}, "not_your_own_roles"),
        (
            ActorFacts(person_id=ADMIN, active=True, teams={TEAM: frozenset({TeamRole.DEVELOPER})}),
            OTHER,
            set(),
            "not_a_lead",
        ),
        (
            ActorFacts(person_id=ADMIN, active=True, teams={uuid4(): frozenset({TeamRole.LEAD})}),
            OTHER,
            set(),
            "not_a_lead",
        ),
        (ActorFacts(person_id=ADMIN), OTHER, set(), "not_active"),
    ],
)
def test_who_changes_a_membership(who, person_id, added, code):
    outcome = rules.may_change_membership(READY, who, team_id=TEAM, person_id=person_id, added=added, at=AT)
    assert (None if outcome else outcome.code) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"person_id": OTHER}, "not_your_own"),
        ({"delegate": person(ADMIN)}, "not_yourself"),
        ({"delegate": person(active=False)}, "person_not_active"),
        ({"ends_at": AT - timedelta(days=1)}, "span_empty"),
        ({"starts_at": AT + timedelta(days=3), "ends_at": AT + timedelta(days=2)}, "span_empty"),
        ({"ends_at": AT + timedelta(days=61)}, "span_too_long"),
    ],
)
def test_who_names_a_delegate(changes, code):
    facts = {"person_id": ADMIN, "delegate": person(), "starts_at": AT, "ends_at": AT + timedelta(days=3)} | changes
    outcome = rules.may_name_delegate(READY, ActorFacts(person_id=ADMIN, active=True), **facts, at=AT)
    assert (None if outcome else outcome.code) == code


@pytest.mark.parametrize(
    ("who", "ready", "code"),
    [
        (admin_facts(), True, None),
        (admin_facts(), False, "factor_too_new"),
        (admin_facts(person_id=OTHER), True, "not_yourself"),
        (admin_facts(roles=frozenset({Role.RESPONDER})), True, "not_an_administrator"),
        (ActorFacts(active=True, operator=True), True, "people_only"),
    ],
)
def test_who_decides_about_a_reset(who, ready, code):
    outcome = rules.may_decide_reset(READY, who, person_id=OTHER, proposed_by_id=uuid4(), factor_ready=ready, at=AT)
    assert (None if outcome else outcome.code) == code


def test_the_proposer_of_a_reset_does_not_confirm_it():
    outcome = rules.may_decide_reset(
        READY, admin_facts(), person_id=OTHER, proposed_by_id=ADMIN, factor_ready=True, at=AT
    )
    assert outcome.code == "needs_a_second_administrator"


@pytest.mark.parametrize(
    ("purpose", "since", "allowed"),
    [
        ("approve", timedelta(0), True),
        ("approve", timedelta(seconds=-1), False),
        ("reinstate", timedelta(hours=-24), False),
        ("policy", timedelta(hours=-1), False),
        ("claim", timedelta(hours=-24), True),
        ("factors", timedelta(hours=-24), True),
    ],
)
def test_a_new_factor_decides_nothing_for_others(purpose, since, allowed):
    assert bool(rules.may_prove(purpose=purpose, approves_from=AT - since, at=AT)) is allowed
    assert not rules.may_prove(purpose="approve", approves_from=None, at=AT)


def test_when_a_factor_begins_to_decide():
    assert rules.approves_from(is_first=True, after_reset=False, at=AT) == AT
    assert rules.approves_from(is_first=False, after_reset=False, at=AT) == AT + timedelta(hours=24)
    assert rules.approves_from(is_first=False, after_reset=True, at=AT) == AT + timedelta(hours=24)
