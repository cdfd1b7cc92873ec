"""A policy's bounds refuse field by field; "stricter" is never weaker than either side."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.policy.bounds import Rules, Wish, faults, problems, stricter, weakened
from keys.policy.rotation_plan import RotationPlan
from keys.states import Overlap

OVERLAP, EVERY_DAYS = "rotation.overlap", "rotation.every_days"
TEAMS = [UUID(int=1), UUID(int=2), None]
RULES = Rules(
    approvals_required=2,
    service_approvals_required=1,
    approver_team_id=None,
    max_cryptoperiod_days=90,
    max_authorised_days=365,
    networks_required=False,
    ticket_pattern="",
    kinds=("bearer",),
    self_fetch_allowed=False,
    lapse_days=7,
    claim_hours=72,
    longest_overlap_hours=168,
    deadline_wins=True,
    brownouts=True,
    unused_days=90,
    signature_required=False,
    signed_scopes=("orders:write",),
    signature_window_seconds=60,
)
WISH = Wish(
    kind="bearer",
    scopes=("orders:read",),
    networks=(),
    cryptoperiod_days=30,
    authorised_days=90,
    ticket="",
    self_fetch=False,
)
any_rules = st.builds(
    Rules,
    approvals_required=st.integers(0, 4),
    service_approvals_required=st.integers(0, 4),
    approver_team_id=st.sampled_from(TEAMS),
    max_cryptoperiod_days=st.integers(1, 400),
    max_authorised_days=st.integers(1, 400),
    networks_required=st.booleans(),
    ticket_pattern=st.sampled_from(["", "CHG-[0-9]+"]),
    kinds=st.sampled_from([("bearer",), ("bearer", "hmac-sha256"), ("ed25519",)]),
    self_fetch_allowed=st.booleans(),
    lapse_days=st.integers(1, 30),
    claim_hours=st.integers(1, 200),
    longest_overlap_hours=st.integers(0, 400),
    deadline_wins=st.booleans(),
    brownouts=st.booleans(),
    unused_days=st.integers(1, 400),
    signature_required=st.booleans(),
    signed_scopes=st.sampled_from([(), ("orders:read",), ("orders:read", "orders:write")]),
    signature_window_seconds=st.integers(30, 120),
)


@given(any_rules, any_rules)
def test_the_stricter_of_two_weakens_neither(one: Rules, other: Rules) -> None:
    both = stricter(one, other)
    # A changed pattern is told as "may be weaker": with two different patterns one of them has to go.
    for side in (one, other):
        assert set(weakened(side, both)) <= (
            {"ticket_pattern"} if one.ticket_pattern != other.ticket_pattern else set()
        )


@given(any_rules, any_rules, st.integers(1, 400), st.integers(1, 400))
def test_what_the_stricter_allows_both_allow(one: Rules, other: Rules, cryptoperiod: int, authorised: int) -> None:
    wish = replace(
        WISH, cryptoperiod_days=cryptoperiod, authorised_days=authorised, networks=("10.0.0.0/8",), ticket="CHG-1"
    )
    if not problems(wish, stricter(one, other)):
        assert not problems(wish, one)
        assert not problems(wish, other)


@given(any_rules)
def test_nothing_is_weaker_than_itself(rules: Rules) -> None:
    assert weakened(rules, rules) == []
    assert stricter(rules, rules) == rules


@pytest.mark.parametrize(
    ("wish", "rules", "field"),
    [
        (replace(WISH, cryptoperiod_days=91), RULES, "cryptoperiod_days"),
        (replace(WISH, authorised_days=366), RULES, "authorised_days"),
        (replace(WISH, cryptoperiod_days=80, authorised_days=70), RULES, "cryptoperiod_days"),
        (WISH, replace(RULES, networks_required=True), "networks"),
        (WISH, replace(RULES, ticket_pattern="CHG-[0-9]+"), "ticket"),
        (replace(WISH, ticket="xCHG-1"), replace(RULES, ticket_pattern="CHG-[0-9]+"), "ticket"),
        (replace(WISH, kind="hmac-sha256"), RULES, "kind"),
        (WISH, replace(RULES, signature_required=True), "kind"),
        (replace(WISH, scopes=("orders:read", "orders:write")), RULES, "kind"),
        (
            replace(WISH, kind="ed25519", self_fetch=True),
            replace(RULES, kinds=("ed25519",), self_fetch_allowed=True),
            "self_fetch",
        ),
        (replace(WISH, self_fetch=True), RULES, "self_fetch"),
        (
            replace(WISH, rotation=RotationPlan(overlap=Overlap.WEEK)),
            replace(RULES, longest_overlap_hours=167),
            OVERLAP,
        ),
        (replace(WISH, rotation=RotationPlan(every_days=30)), RULES, EVERY_DAYS),
        (replace(WISH, rotation=RotationPlan(every_days=6, overlap=Overlap.WEEK)), RULES, EVERY_DAYS),
    ],
)
def test_each_bound_refuses_its_own_field(wish: Wish, rules: Rules, field: str) -> None:
    assert set(problems(wish, rules)) == {field}


def test_a_wish_at_the_limit_is_allowed() -> None:
    assert problems(replace(WISH, cryptoperiod_days=90, authorised_days=365), RULES) == {}
    weekly = RotationPlan(every_days=7, overlap=Overlap.WEEK)
    assert problems(replace(WISH, cryptoperiod_days=8, rotation=weekly), RULES) == {}


@pytest.mark.parametrize("overlap", [Overlap.NOW, Overlap.FIRST_USE, Overlap.WHEN_IDLE])
def test_an_overlap_that_traffic_ends_fits_every_policy(overlap: Overlap) -> None:
    assert (
        problems(replace(WISH, rotation=RotationPlan(overlap=overlap)), replace(RULES, longest_overlap_hours=0)) == {}
    )


def test_a_wish_that_says_nothing_of_rotations_fits_every_policy() -> None:
    assert problems(WISH, replace(RULES, longest_overlap_hours=0)) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"approvals_required": 1},
        {"service_approvals_required": 0},
        {"approver_team_id": UUID(int=1)},
        {"max_cryptoperiod_days": 91},
        {"max_authorised_days": 366},
        {"kinds": ("bearer", "hmac-sha256")},
        {"self_fetch_allowed": True},
        {"lapse_days": 8},
        {"claim_hours": 73},
        {"longest_overlap_hours": 169},
        {"deadline_wins": False},
        {"brownouts": False},
        {"unused_days": 91},
        {"signed_scopes": ()},
        {"signature_window_seconds": 61},
    ],
)
def test_every_loosening_is_noticed(changes: dict[str, object]) -> None:
    assert weakened(RULES, replace(RULES, **changes)) == list(changes)  # type: ignore[arg-type]


def test_taking_a_demand_away_is_a_loosening() -> None:
    demanding = replace(RULES, networks_required=True, ticket_pattern="CHG-[0-9]+")
    assert weakened(demanding, RULES) == ["networks_required", "ticket_pattern"]
    assert weakened(RULES, demanding) == []


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a|a)*b", "(", "x" * 121, "([a-z]+)*", "((a+))+$", "(a?){30}a{30}", "a?a?a?a?", "a+b+c+d+", "a*"],
)
def test_patterns_that_break_or_run_away_are_refused(pattern: str) -> None:
    assert set(faults(replace(RULES, ticket_pattern=pattern))) == {"ticket_pattern"}


def test_rules_that_contradict_themselves_are_refused() -> None:
    assert set(faults(replace(RULES, service_approvals_required=3))) == {"service_approvals_required"}
    assert set(faults(replace(RULES, lapse_days=0, kinds=()))) == {"lapse_days", "kinds"}
    assert faults(RULES) == {}
