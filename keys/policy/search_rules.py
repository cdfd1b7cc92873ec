"""Decide who may keep searches of the log. Pure; one condition a line; no rule means Deny."""

from __future__ import annotations

from uuid import UUID

from keys.policy.decisions import Decision, Deny
from keys.policy.facts import ActorFacts
from keys.policy.rules import may_read_log


def may_keep_search(who: ActorFacts) -> Decision:
    """People who read the log keep searches; a program keeps its own address."""
    if who.person_id is None:
        return Deny("only_people_keep_searches", "search.person")
    return may_read_log(who)


def may_change_search(who: ActorFacts, *, owner_id: UUID) -> Decision:
    """Only whoever saved a search renames, shares or removes it, also when it is shared."""
    decision = may_keep_search(who)
    if decision and who.person_id != owner_id:
        return Deny("not_your_search", "search.own")
    return decision
