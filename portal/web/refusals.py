"""Put on record what a page refuses before its operation is called; what operations refuse they record themselves."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import Model

from audit.actor import Actor
from keys.errors import Denied
from keys.operations import record_denial
from keys.policy.decisions import Decision
from keys.policy.enforcement import enforce


def enforce_before(
    operation: Callable[..., object], subject: Model | None, decision: Decision, *, actor: Actor
) -> None:
    """Refuse at once what `operation` would refuse after more questions, and record it once, as its refusal."""
    try:
        enforce(decision)
    except Denied as denied:
        record_denial(denied, operation=getattr(operation, "__name__", "-"), subject=subject, actor=actor)
        raise
