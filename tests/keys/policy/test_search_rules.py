"""Who may keep a search of the log, and who may change one."""

from __future__ import annotations

from uuid import UUID

import pytest

from keys.policy.decisions import ALLOW, Deny
from keys.policy.facts import ActorFacts
from keys.policy.search_rules import may_change_search, may_keep_search
from keys.states import Role

OWNER, OTHER = UUID(int=1), UUID(int=2)


def person(person_id: UUID = OWNER, *roles: Role, active: bool = True) -> ActorFacts:
    return ActorFacts(person_id=person_id, active=active, roles=frozenset(roles))


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (person(OWNER, Role.AUDITOR), ""),
        (person(OWNER, Role.ADMINISTRATOR), ""),
        (person(OWNER, Role.RESPONDER), "not_an_auditor"),
        (person(), "not_an_auditor"),
        (person(OWNER, Role.AUDITOR, active=False), "not_active"),
        (ActorFacts(key_id=OWNER, active=True, scopes=frozenset({"audit:read"})), "only_people_keep_searches"),
        (ActorFacts(active=True, operator=True), "only_people_keep_searches"),
        (ActorFacts(), "only_people_keep_searches"),
    ],
)
def test_people_who_read_the_log_keep_searches(who, code):
    for decision in (may_keep_search(who), may_change_search(who, owner_id=OWNER)):
        assert decision.code == code if isinstance(decision, Deny) else decision is ALLOW and not code


def test_only_the_owner_changes_a_search_whatever_their_role():
    for role in (Role.AUDITOR, Role.ADMINISTRATOR):
        decision = may_change_search(person(OTHER, role), owner_id=OWNER)
        assert isinstance(decision, Deny)
        assert decision.code == "not_your_search"
