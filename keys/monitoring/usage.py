"""Sum up how the versions of one key were used: how often, with which outcome, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Max, Sum, Window
from django.db.models.functions import RowNumber, TruncDate

from keys.models import ManagedKey, Sighting, UsageCount
from keys.states import VALID

SPAN = timedelta(days=30)
CHART_DAYS = 14
SIGHTINGS_SHOWN = 25


@dataclass(frozen=True, kw_only=True)
class OutcomeCount:
    """How often verifications ended one way in the last 30 days."""

    outcome: str
    count: int
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The use of one key in the last 30 days; `days` are the last fourteen, oldest first, accepted ones only."""

    accepted: int
    refused: int
    last_used_at: datetime | None
    outcomes: list[OutcomeCount]
    days: list[tuple[date, int]]
    sightings: list[Sighting]

    @property
    def is_unused(self) -> bool:
        return not self.outcomes and self.last_used_at is None


def usage_of(key: ManagedKey, *, at: datetime) -> Usage:
    """Read the use of `key`, in four queries."""
    counts = UsageCount.objects.filter(version__managed_key=key)
    outcomes = [
        OutcomeCount(outcome=row["outcome"], count=row["total"], last_at=row["last"])
        for row in counts.filter(hour__gt=at - SPAN)
        .values("outcome")
        .annotate(total=Sum("count"), last=Max("last_at"))
        .order_by("-total")
    ]
    accepted = sum(row.count for row in outcomes if row.outcome == VALID)
    since = (at - timedelta(days=CHART_DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    by_day = dict(
        counts.filter(outcome=VALID, hour__gte=since)
        .annotate(day=TruncDate("hour"))
        .values_list("day")
        .annotate(Sum("count"))
    )
    days = [(since + timedelta(days=place)).date() for place in range(CHART_DAYS)]
    sightings = Sighting.objects.filter(version__managed_key=key).select_related("version").order_by("-last_at")
    return Usage(
        accepted=accepted,
        refused=sum(row.count for row in outcomes) - accepted,
        last_used_at=counts.filter(outcome=VALID).aggregate(last=Max("last_at"))["last"],
        outcomes=outcomes,
        days=[(day, int(by_day.get(day, 0))) for day in days],
        sightings=list(sightings[:SIGHTINGS_SHOWN]),
    )


def counts_of(key: ManagedKey, *, since: datetime, most: int) -> list[UsageCount]:
    """The counts of every version since then, the newest first, at most so many for each."""
    place = Window(RowNumber(), partition_by="version_id", order_by="-hour")
    rows = UsageCount.objects.filter(version__managed_key=key, hour__gte=since).annotate(place=place)
    return list(rows.filter(place__lte=most).select_related("version").order_by("version__sequence", "-hour"))


def sightings_of(key: ManagedKey, *, most: int) -> list[Sighting]:
    """Who presented every version, the latest first, at most so many for each."""
    place = Window(RowNumber(), partition_by="version_id", order_by="-last_at")
    rows = Sighting.objects.filter(version__managed_key=key).annotate(place=place)
    return list(rows.filter(place__lte=most).select_related("version").order_by("version__sequence", "-last_at"))
