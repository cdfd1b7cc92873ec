"""Find what was about to be done and of which nobody said what came of it: a process died in between, or worse."""

from __future__ import annotations

from datetime import timedelta

from audit import clock
from audit.actor import Actor
from audit.events import Outcome
from audit.log import record
from audit.models import AuditEvent
from keys.dispatch.cursor import Told, read_all
from keys.events import AccessDenied, IntentUnfinished

READER = "intents"
PATIENCE = timedelta(minutes=5)


def report_unfinished(*, actor: Actor) -> int:
    """Put each sealed intent of more than five minutes ago that has no outcome on record, once; returns how many."""
    reported: list[Told] = []

    def look_at(told: Told) -> None:
        if told.outcome == Outcome.INTENT and not _has_outcome(told):
            _report(told, actor=actor)
            reported.append(told)

    read_all(READER, (look_at,), before=clock.now() - PATIENCE)
    return len(reported)


def _has_outcome(intent: Told) -> bool:
    """Tell whether an event about the same thing, or a denial, names the intent; or whether it was reported before."""
    if AuditEvent.objects.of_target(IntentUnfinished.target_type, str(intent.uid)).exists():
        return True
    since = AuditEvent.objects.filter(
        target_type__in=(intent.target_type, AccessDenied.target_type),
        target_id=intent.target_id,
        occurred_at__gte=intent.occurred_at,
    )
    return any(event.envelope().get("correlation") == str(intent.uid) for event in since.order_by("id"))


def _report(intent: Told, *, actor: Actor) -> None:
    unfinished = IntentUnfinished(
        target_id=str(intent.uid),
        environment=intent.environment,
        outcome=Outcome.ERROR,
        correlation=str(intent.uid),
        intended=intent.action,
        subject_type=intent.target_type,
        subject=intent.target_id,
    )
    record(unfinished, actor=actor, at=clock.now())
