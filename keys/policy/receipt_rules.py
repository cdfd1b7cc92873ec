"""Decide who is given a receipt that proves a decision about a request. Pure; no rule means Deny."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from keys.policy.decisions import ALLOW, Decision, Deny
from keys.policy.facts import ActorFacts, RequestFacts
from keys.policy.rules import may_read_log


def may_take_receipt(who: ActorFacts, request: RequestFacts, *, deciders: Collection[UUID]) -> Decision:
    """Whoever asked, would receive or decided, by themselves or through the program that asked, and who reads the log."""
    if not who.active:
        return Deny("not_active", "receipt.active")
    if who.person_id is not None and who.person_id in {request.requester_id, request.recipient_id, *deciders}:
        return ALLOW
    if who.key_id is not None and who.key_id == request.requested_by_key_id:
        return ALLOW
    return ALLOW if may_read_log(who) else Deny("receipt_of_others", "receipt.part")
