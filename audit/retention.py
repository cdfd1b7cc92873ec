"""Say how long the log keeps what, which leaves are old enough, held or archived, and let private parts expire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections
from django.db.models import Max, Min, Q

from audit.actor import Actor
from audit.erasures import read_erasures
from audit.keeping_events import PrivatePartsExpired
from audit.keeping_rules import HOLD_LOCK, PRUNE_STEP
from audit.log import record
from audit.models import WITHOUT_END, AuditArchive, AuditCheckpoint, AuditHold, AuditLeaf, AuditPending, AuditRetention

Span = tuple[int, int]
EXPIRED_AT_ONCE = 4_096
_FEW = 256
# Events get their time just before their place, so the order of the two differs by moments.
_MARGIN = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Periods:
    """How many days events and their private parts are kept; None is for ever."""

    keep_days: int | None = None
    private_days: int | None = None

    def is_shorter_than(self, other: Periods) -> bool:
        """Tell whether anything would be gone sooner."""
        return _shorter(self.keep_days, other.keep_days) or _shorter(self.private_days, other.private_days)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a period would do: leaves from `first` to before `old_upto` are old enough, those before `upto` can go now."""

    first: int
    size: int
    old_upto: int
    archived_upto: int
    upto: int
    holds: tuple[AuditHold, ...]


def _shorter(one: int | None, other: int | None) -> bool:
    return one is not None and (other is None or one < other)


def periods_in_force(using: str = "default") -> Periods:
    """Return the newest accepted periods; without any, everything is kept."""
    accepted = AuditRetention.objects.using(using).filter(outcome="accepted").order_by("-decided_at", "-id").first()
    if accepted is None:
        return Periods()
    return Periods(keep_days=accepted.keep_days, private_days=accepted.private_days)


def first_leaf(using: str = "default") -> int:
    """Return the lowest leaf that was not pruned."""
    found = AuditLeaf.objects.using(using).aggregate(first=Min("index"))["first"]
    return sealed_size(using) if found is None else int(found)


def sealed_size(using: str = "default") -> int:
    """Return how many leaves the newest checkpoint covers."""
    return AuditCheckpoint.objects.using(using).aggregate(size=Max("size"))["size"] or 0


def exclude_deletions(using: str = "default") -> None:
    """Wait until nobody deletes, and let nobody begin before the end of this transaction."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (HOLD_LOCK,))


def leaves_between(since: datetime | None, before: datetime | None, *, at: datetime, using: str = "default") -> Span:
    """Return the smallest range of leaves with every event of [since, before); rather too wide than too narrow.

    A span that reaches past `at` has no end: it also covers what is not written yet.
    """
    if before is not None and before <= at:
        upto = _edge("max", since, before, using)
        waiting = AuditPending.objects.using(using).count()
        # What waits to be sealed has no place yet; it may belong to the span.
        upto = max(upto, sealed_size(using) + waiting if waiting else 0)
    else:
        upto = WITHOUT_END
    start = 0 if since is None else _edge("min", since, before, using)
    return (sealed_size(using) if start < 0 else start), upto


def _edge(which: str, since: datetime | None, before: datetime | None, using: str) -> int:
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT {which}(leaf.index) FROM audit_event event JOIN audit_leaf leaf ON leaf.event_id = event.id"  # noqa: S608 - one of two words
            " WHERE (%s::timestamptz IS NULL OR event.occurred_at >= %s)"
            " AND (%s::timestamptz IS NULL OR event.occurred_at < %s)",
            (since, since, before, before),
        )
        found = cursor.fetchone()[0]
    return -1 if found is None else int(found) + (which == "max")


def holds_in_force(using: str = "default", *, spans: Iterable[Span] = ()) -> list[AuditHold]:
    """Return the holds that nobody lifted, those that touch one of `spans` if any are given."""
    touching = Q()
    for start, end in spans:
        touching |= Q(from_leaf__lt=end, upto_leaf__gt=start)
    return list(AuditHold.objects.using(using).filter(touching, lifted_at=None).order_by("id"))


def outlook(periods: Periods, *, at: datetime, using: str = "default") -> Outlook:
    """Say what these periods would let go of, and what stands in the way; the database decides when it is done."""
    first, size = first_leaf(using), sealed_size(using)
    old = first
    if periods.keep_days is not None:
        cutoff = at - timedelta(days=periods.keep_days)
        old = max(first, first_younger(cutoff - _MARGIN, using=using) // PRUNE_STEP * PRUNE_STEP)
    archived = _archived_upto(first, using)
    holds = holds_in_force(using, spans=[(first, old)]) if old > first else []
    upto = min([old, archived, *(hold.from_leaf // PRUNE_STEP * PRUNE_STEP for hold in holds)])
    return Outlook(
        first=first, size=size, old_upto=old, archived_upto=archived, upto=max(upto, first), holds=tuple(holds)
    )


def first_younger(moment: datetime, *, using: str = "default") -> int:
    """Return the first leaf that was recorded at or after `moment`, by halving."""
    low, high = first_leaf(using), sealed_size(using)
    with connections[using].cursor() as cursor:
        while low < high:
            middle = (low + high) // 2
            cursor.execute(
                "SELECT event.recorded_at < %s FROM audit_leaf leaf JOIN audit_event event ON event.id = leaf.event_id"
                " WHERE leaf.index >= %s ORDER BY leaf.index LIMIT 1",
                (moment, middle),
            )
            row = cursor.fetchone()
            if row is not None and row[0]:
                low = middle + 1
            else:
                high = middle
    return low


def next_expiry(*, at: datetime, using: str = "default") -> Span | None:
    """Return the next leaves whose private parts have had their time: neither held nor expired before."""
    periods = periods_in_force(using)
    if periods.private_days is None:
        return None
    cutoff = at - timedelta(days=periods.private_days) - _MARGIN
    upto = first_younger(cutoff, using=using)
    held = [(hold.from_leaf, hold.upto_leaf) for hold in holds_in_force(using)]
    done = read_erasures(using)
    taken = [*held, *zip(done.starts, done.ends, strict=True)]
    for start, end in gaps((first_leaf(using), upto), taken):
        # A day's few leaves go together, or each expiry would be the next one's only work.
        if end - start >= _FEW or first_younger(cutoff - timedelta(days=1), using=using) > start:
            return start, min(end, start + EXPIRED_AT_ONCE)
    return None


def expire_private(span: Span, *, reason: str, actor: Actor, at: datetime, using: str = "default") -> int:
    """Delete the private parts of these leaves, on record, in the caller's transaction; return how many there were."""
    told = PrivatePartsExpired(target_id="log", reason=reason, from_leaf=span[0], upto_leaf=span[1])
    expiry = record(told, actor=actor, at=at, using=using)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT audit_expire_private(%s)", (expiry,))
        return int(cursor.fetchone()[0])


def gaps(whole: Span, taken: Iterable[Span]) -> list[Span]:
    """Return what is left of `whole` without `taken`."""
    left, start = [], whole[0]
    for begin, end in sorted(taken):
        if begin > start:
            left.append((start, min(begin, whole[1])))
        start = max(start, end)
        if start >= whole[1]:
            break
    else:
        left.append((start, whole[1]))
    return [(begin, end) for begin, end in left if begin < end]


def _archived_upto(first: int, using: str) -> int:
    """Return up to where verified archives follow one another from `first` on."""
    upto = first
    verified = AuditArchive.objects.using(using).filter(verified_at__isnull=False).order_by("from_leaf")
    for start, end in verified.values_list("from_leaf", "upto_leaf"):
        upto = max(upto, end) if start <= upto else upto
    return upto
