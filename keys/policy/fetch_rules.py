"""Decide whether a program may replace its own secret, with the one it holds. Pure; one condition a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts
from keys.states import RotationCause

# After a leak, a loss or a leaver the old secret proves nothing: somebody else may hold it just as well.
CAUSES_OF_CLIENTS: Final = (RotationCause.SCHEDULE, RotationCause.DEMAND, RotationCause.POLICY)


@dataclass(frozen=True, kw_only=True)
class FetchFacts:
    """What it rests on. `cause` is that of the rotation under way; `contested`: two tokens came with the old secret."""

    key_id: UUID
    approved: bool
    policy_allows: bool
    has_networks: bool
    inside: bool
    cause: RotationCause | None = None
    contested: bool = False


def may_fetch(who: ActorFacts, facts: FetchFacts) -> Decision:
    """Only the key itself, as it was approved, from its networks, while its secret proves who it is."""
    if who.key_id != facts.key_id or not who.active:
        return Deny("only_this_key_fetches", "fetch.key")
    if not facts.inside:
        return Deny("network_not_allowed", "fetch.network")
    if not facts.approved:
        return Deny("self_fetch_not_approved", "fetch.approved")
    if not facts.policy_allows:
        return Deny("self_fetch_not_allowed", "fetch.policy")
    if not facts.has_networks:
        return Deny("self_fetch_needs_networks", "fetch.networks")
    if facts.contested:
        return Deny("fetch_contested", "fetch.contested")
    if facts.cause is not None and facts.cause not in CAUSES_OF_CLIENTS:
        return Deny("fetch_by_people_only", "fetch.cause")
    return ALLOW
