"""Set how long the log keeps events and their private parts; what is shorter waits for a second administrator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from audit import clock
from audit.actor import Actor
from audit.models import AuditRetention
from audit.retention import Outlook, Periods, expire_private, next_expiry, outlook, periods_in_force
from keys import text
from keys.errors import Conflict, Invalid
from keys.events import RetentionProposed, RetentionRefused, RetentionSet
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.retention_rules import may_decide_periods, may_set_periods, named
from keys.policy.rules import may_read_log

FOR_EVER = "forever"
# What laws and standards ask for, as far as we know them; whoever sets one answers for it.
KEEP: Final = MappingProxyType(
    {FOR_EVER: None, "1-year": 366, "3-years": 1096, "6-years": 2192, "7-years": 2557, "10-years": 3653}
)
PRIVATE: Final = MappingProxyType(
    {FOR_EVER: None, "30-days": 30, "90-days": 90, "180-days": 180, "1-year": 366, "3-years": 1096}
)
EXPIRY = "period-over"


@dataclass(frozen=True, kw_only=True)
class RetentionView:
    """The periods in force, what they do now, what waits, and what was before."""

    periods: Periods
    outlook: Outlook
    waiting: AuditRetention | None
    waiting_outlook: Outlook | None
    past: list[AuditRetention]


def chosen(keep: str, private: str) -> Periods:
    """Return the periods of two presets."""
    wrong: dict[str, tuple[str, dict[str, object]]] = {
        name: ("unknown_choice", {})
        for name, value, known in (("keep", keep, KEEP), ("private", private, PRIVATE))
        if value not in known
    }
    if wrong:
        raise Invalid(wrong)
    return Periods(keep_days=KEEP[keep], private_days=PRIVATE[private])


@operation
def set_periods(periods: Periods, *, actor: Actor, reason: str, base: Periods) -> AuditRetention:
    """Put periods in force that keep nothing shorter, or propose them to a second administrator.

    `base` is what the administrator looked at; Conflict("retention_changed") when it is not in force any more.
    """
    at = clock.now()
    enforce(may_set_periods(actor, standing_of(actor, at=at), at=at), hidden=not _may_read(actor, at))
    why = text.paragraph(reason, "reason", most=500, least=10)
    if periods not in {Periods(keep_days=k, private_days=p) for k in KEEP.values() for p in PRIVATE.values()}:
        raise Invalid.field("keep", "unknown_choice")
    before = periods_in_force()
    if before != base:
        raise Conflict("retention_changed")
    if periods == before:
        raise Conflict("retention_same")
    row = AuditRetention(
        keep_days=periods.keep_days,
        private_days=periods.private_days,
        reason=why,
        proposed_at=at,
        proposed_by=named(actor),
    )
    told = {"keep_days_before": before.keep_days, "private_days_before": before.private_days}
    if not periods.is_shorter_than(before):
        row.decided_at, row.decided_by, row.outcome = at, named(actor), "accepted"
        return insert(row, RetentionSet, actor=actor, at=at, **told)
    if AuditRetention.objects.filter(outcome="").exists():
        raise Conflict("retention_waiting")
    return insert(row, RetentionProposed, actor=actor, at=at, **told)


@operation
def decide_periods(proposal: AuditRetention, *, accept: bool, actor: Actor) -> AuditRetention:
    """Accept shorter periods as a second administrator, or refuse them (the proposer may take them back)."""
    at = clock.now()
    enforce(
        may_decide_periods(actor, standing_of(actor, at=at), proposed_by=proposal.proposed_by, accept=accept, at=at),
        hidden=not _may_read(actor, at),
    )
    proposal = locked(proposal)
    if proposal.outcome:
        raise Conflict("already_decided")
    before = periods_in_force()
    columns = {"decided_at": at, "decided_by": named(actor), "outcome": "accepted" if accept else "refused"}
    if not accept:
        return update(proposal, RetentionRefused, actor=actor, at=at, expected={"outcome": ""}, columns=columns)
    return update(
        proposal,
        RetentionSet,
        actor=actor,
        at=at,
        expected={"outcome": ""},
        columns=columns,
        keep_days_before=before.keep_days,
        private_days_before=before.private_days,
    )


@operation
def view_retention(*, actor: Actor) -> RetentionView:
    """Return what the pages show; for whoever may not read the log there is nothing."""
    at = clock.now()
    enforce(may_read_log(standing_of(actor, at=at)), hidden=True)
    periods = periods_in_force()
    waiting = AuditRetention.objects.filter(outcome="").first()
    return RetentionView(
        periods=periods,
        outlook=outlook(periods, at=at),
        waiting=waiting,
        waiting_outlook=outlook(periods_of(waiting), at=at) if waiting else None,
        past=list(AuditRetention.objects.exclude(outcome="").order_by("-decided_at", "-id")[:50]),
    )


def periods_of(row: AuditRetention) -> Periods:
    """Return a row's periods as a value."""
    return Periods(keep_days=row.keep_days, private_days=row.private_days)


@operation
def expire_private_parts(*, actor: Actor) -> int:
    """Delete the private parts of the next leaves whose own period is over; return how many leaves that were."""
    at = clock.now()
    span = next_expiry(at=at)
    if span is None:
        return 0
    expire_private(span, reason=EXPIRY, actor=actor, at=at)
    return span[1] - span[0]


def _may_read(actor: Actor, at: datetime) -> bool:
    return bool(may_read_log(standing_of(actor, at=at)))
