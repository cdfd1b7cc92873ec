"""Who may replace a secret with the secret itself: one condition at a time."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from keys.policy.decisions import ALLOW, Deny
from keys.policy.facts import ActorFacts
from keys.policy.fetch_rules import FetchFacts, may_fetch
from keys.states import RotationCause

KEY = uuid4()
FACTS = FetchFacts(
    key_id=KEY, approved=True, policy_allows=True, has_networks=True, inside=True, cause=RotationCause.SCHEDULE
)
ITSELF = ActorFacts(key_id=KEY, active=True)


@pytest.mark.parametrize("cause", [None, RotationCause.SCHEDULE, RotationCause.DEMAND, RotationCause.POLICY])
def test_the_key_itself_may_while_its_secret_proves_who_it_is(cause: RotationCause | None) -> None:
    assert may_fetch(ITSELF, replace(FACTS, cause=cause)) == ALLOW


@pytest.mark.parametrize(
    ("who", "facts", "code"),
    [
        (ActorFacts(person_id=uuid4(), active=True), FACTS, "only_this_key_fetches"),
        (ActorFacts(key_id=uuid4(), active=True), FACTS, "only_this_key_fetches"),
        (replace(ITSELF, active=False), FACTS, "only_this_key_fetches"),
        (ITSELF, replace(FACTS, inside=False), "network_not_allowed"),
        (ITSELF, replace(FACTS, approved=False), "self_fetch_not_approved"),
        (ITSELF, replace(FACTS, policy_allows=False), "self_fetch_not_allowed"),
        (ITSELF, replace(FACTS, has_networks=False), "self_fetch_needs_networks"),
        (ITSELF, replace(FACTS, contested=True), "fetch_contested"),
        *(
            (ITSELF, replace(FACTS, cause=cause), "fetch_by_people_only")
            for cause in (RotationCause.COMPROMISE, RotationCause.LOST, RotationCause.LEAVER)
        ),
    ],
)
def test_every_condition_refuses_by_itself(who: ActorFacts, facts: FetchFacts, code: str) -> None:
    decision = may_fetch(who, facts)
    assert isinstance(decision, Deny)
    assert decision.code == code
