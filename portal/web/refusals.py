"""Put on record what a page refuses before its operation is called; what operations refuse they record themselves."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import Model

from audit.actor import Actor
from audit.events import Outcome
from keys.errors import Denied
from keys.events import AccessDenied
from keys.operations import record_denial
from keys.policy.decisions import Decision
from keys.policy.enforcement import enforce
from portal.accounts.doors import tell


def enforce_before(operation: Callable[..., object], subject: Model, decision: Decision, *, actor: Actor) -> None:
    """Refuse at once what `operation` would refuse after more questions, and record it once, as its refusal."""
    try:
        enforce(decision)
    except Denied as denied:
        record_denial(denied, operation=getattr(operation, "__name__", "-"), subject=subject, actor=actor)
        raise


def record_unseen(act: str, number: object, *, actor: Actor) -> None:
    """Record that somebody tried to act on what does not exist for them; whether it exists is not looked up."""
    target = str(number) if isinstance(number, int) else "-"  # never text from an address: it may be a secret
    denial = AccessDenied(
        target_id=target, operation=act, subject="-", reason="not_found", rule="reach", outcome=Outcome.DENIED
    )
    tell(denial, actor=actor)
