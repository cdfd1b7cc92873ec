"""Hold ranges of the log for a court or an inquiry, and let go of them by two."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit import clock
from audit.actor import Actor
from audit.models import WITHOUT_END, AuditHold
from audit.retention import Span, exclude_deletions, first_leaf, leaves_between, sealed_size
from keys import text
from keys.errors import Conflict, Invalid, NotFound
from keys.events import HoldLifted, HoldPlaced
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.retention_rules import may_lift_hold, may_place_hold, named
from keys.policy.rules import may_read_log


@dataclass(frozen=True, kw_only=True)
class HeldSpan:
    """What to hold: from and before a time, or from and before a leaf; what is left out has no bound."""

    since: datetime | None = None
    before: datetime | None = None
    from_leaf: int | None = None
    upto_leaf: int | None = None

    def is_of_leaves(self) -> bool:
        return self.from_leaf is not None or self.upto_leaf is not None


@operation
def place_hold(span: HeldSpan, *, actor: Actor, reason: str) -> AuditHold:
    """Keep every event of a span, and its private part, whatever the periods say, until another person lifts it."""
    at = clock.now()
    enforce(may_place_hold(actor, standing_of(actor, at=at), at=at), hidden=not _may_read(actor, at))
    why = text.paragraph(reason, "reason", most=500, least=10)
    _check(span)
    # From here on nobody deletes; whoever did is visible, since every statement takes a new snapshot.
    exclude_deletions()
    start, end = _resolved(span, at=at)
    hold = AuditHold(from_leaf=start, upto_leaf=end, reason=why, placed_at=at, placed_by=named(actor))
    return insert(hold, HoldPlaced, actor=actor, at=at)


@operation
def lift_hold(hold: AuditHold, *, actor: Actor) -> AuditHold:
    """End a hold that another person placed."""
    at = clock.now()
    enforce(
        may_lift_hold(actor, standing_of(actor, at=at), placed_by=hold.placed_by, at=at),
        hidden=not _may_read(actor, at),
    )
    hold = locked(hold)
    if hold.lifted_at is not None:
        raise Conflict("hold_lifted_already")
    columns = {"lifted_at": at, "lifted_by": named(actor)}
    return update(hold, HoldLifted, actor=actor, at=at, expected={"lifted_at": None}, columns=columns)


@operation
def list_holds(*, actor: Actor) -> list[AuditHold]:
    """Return every hold, those in force first; for whoever may not read the log there is no such list."""
    at = clock.now()
    enforce(may_read_log(standing_of(actor, at=at)), hidden=True)
    return sorted(AuditHold.objects.order_by("-id"), key=lambda hold: hold.lifted_at is not None)


def hold_of(number: int, *, actor: Actor) -> AuditHold:
    """Return one hold, or nothing at all for whoever may not read the log."""
    for hold in list_holds(actor=actor):
        if hold.pk == number:
            return hold
    raise NotFound


def _may_read(actor: Actor, at: datetime) -> bool:
    return bool(may_read_log(standing_of(actor, at=at)))


def _check(span: HeldSpan) -> None:
    if span.since is not None and span.before is not None and span.since >= span.before:
        raise Invalid.field("before", "span_empty")
    if span.is_of_leaves() and (span.since or span.before):
        raise Invalid.field("from_leaf", "leaves_or_times")
    if span.from_leaf is not None and not 0 <= span.from_leaf < WITHOUT_END:
        raise Invalid.field("from_leaf", "out_of_range", least=0, most=sealed_size())
    if span.upto_leaf is not None and not (span.from_leaf or 0) < span.upto_leaf <= WITHOUT_END:
        raise Invalid.field("upto_leaf", "span_empty")


def _resolved(span: HeldSpan, *, at: datetime) -> Span:
    if span.is_of_leaves():
        start = span.from_leaf or 0
        end = WITHOUT_END if span.upto_leaf is None else span.upto_leaf
    else:
        start, end = leaves_between(span.since, span.before, at=at)
    first = first_leaf()
    if end <= first and first:
        raise Conflict("hold_range_pruned", first=first)
    start = max(start, first)
    if start >= end:
        raise Conflict("hold_range_empty")
    return start, end
