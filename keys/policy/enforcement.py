"""Turn a refusal into the error that doors answer with."""

from __future__ import annotations

from keys.errors import Denied
from keys.policy.decisions import Decision, Deny


def enforce(decision: Decision, *, hidden: bool = False) -> None:
    """Raise Denied when the decision is Deny; `hidden` when the actor may not know that the thing exists (404)."""
    if isinstance(decision, Deny):
        raise Denied(decision.code, rule=decision.rule, hidden=hidden, **decision.params)
