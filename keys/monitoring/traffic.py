"""Compare the use of the old version with that of the new one: how often, by whom, and who has not moved.

A client is what the service that asks says of it: address, user agent and instance together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max, Sum

from keys.models import Rotation, Sighting, UsageCount
from keys.states import VALID
from keys.verification.counting.sightings import MOST_SIGHTINGS

# Whoever was not seen on the old version for so long is no longer waited for. A job that runs once a week is.
WINDOW: Final = timedelta(days=7)
# Two programs behind one address look like one client: it has moved when the old version was quiet for so long as well.
SETTLED: Final = timedelta(minutes=15)
CHART_HOURS: Final = 24
HOUR: Final = timedelta(hours=1)

Fingerprint = tuple[str | None, str, str]


@dataclass(frozen=True, kw_only=True)
class SeenClient:
    """One client that presented the old version within the window, and when it was last seen on each."""

    address: str | None
    user_agent: str
    instance: str
    on_old: datetime
    on_new: datetime | None
    count: int
    has_moved: bool

    @property
    def is_nameless(self) -> bool:
        """Whether the service said nothing of it: any number of clients may be behind it."""
        return self.address is None and not self.user_agent and not self.instance


@dataclass(frozen=True, kw_only=True)
class HourOfUse:
    """How often each version was accepted within one hour."""

    hour: datetime
    old: int
    new: int


def clients_on_old(rotation: Rotation, *, at: datetime) -> list[SeenClient]:
    """Who presented the old version within the window, those who have not moved first, the latest first."""
    rows = Sighting.objects.filter(version=rotation.old_version_id, last_at__gt=at - WINDOW).order_by("-last_at")
    moved_to = _seen_on_new(rotation)
    found = [_client(row, moved_to.get(_fingerprint(row)), at=at) for row in rows]
    return sorted(found, key=lambda client: client.has_moved)


def hours_of_use(rotation: Rotation, *, upto: datetime) -> Sequence[HourOfUse]:
    """The last hours before `upto`, oldest first, also those without use."""
    last = upto.replace(minute=0, second=0, microsecond=0)
    hours = [last - place * HOUR for place in reversed(range(CHART_HOURS))]
    counts: dict[tuple[object, datetime], int] = defaultdict(int)
    versions = [each for each in (rotation.old_version_id, rotation.new_version_id) if each is not None]
    rows = UsageCount.objects.filter(version__in=versions, outcome=VALID, hour__gte=hours[0], hour__lte=last)
    for version, hour, count in rows.values_list("version_id", "hour").annotate(Sum("count")):
        counts[version, hour] += count
    return [
        HourOfUse(hour=hour, old=counts[rotation.old_version_id, hour], new=counts[rotation.new_version_id, hour])
        for hour in hours
    ]


def new_one_was_used(rotation: Rotation) -> bool:
    """Whether the new version was accepted since it verifies."""
    uses = UsageCount.objects.filter(version=rotation.new_version_id, outcome=VALID)
    return rotation.activated_at is not None and uses.filter(last_at__gte=rotation.activated_at).exists()


def everybody_moved(rotation: Rotation, *, at: datetime) -> bool:
    """Whether nobody needs the old version: every client of the window was seen on the new one, or nobody came in all that time.

    What cannot be told apart proves nothing by being seen on the new one: nameless clients, and those beyond the number
    that is remembered. Then only silence counts.
    """
    if _is_silent(rotation, at=at):
        return True
    if Sighting.objects.filter(version=rotation.old_version_id)[:MOST_SIGHTINGS].count() >= MOST_SIGHTINGS:
        return False
    clients = clients_on_old(rotation, at=at)
    return bool(clients) and all(client.has_moved for client in clients)


def _is_silent(rotation: Rotation, *, at: datetime) -> bool:
    old = rotation.old_version
    if old is None or old.activated_at is None or old.activated_at > at - WINDOW:
        return False  # too young to say: the job that will use it may run tonight for the first time
    last = UsageCount.objects.filter(version=old).aggregate(last=Max("last_at"))["last"]
    return last is None or last <= at - WINDOW


def _seen_on_new(rotation: Rotation) -> dict[Fingerprint, datetime]:
    if rotation.activated_at is None:
        return {}
    rows = Sighting.objects.filter(version=rotation.new_version_id, last_at__gte=rotation.activated_at)
    return {_fingerprint(row): row.last_at for row in rows}


def _fingerprint(row: Sighting) -> Fingerprint:
    return row.address, row.user_agent, row.instance


def _client(row: Sighting, on_new: datetime | None, *, at: datetime) -> SeenClient:
    settled = on_new is not None and on_new > row.last_at and row.last_at <= at - SETTLED
    named = row.address is not None or bool(row.user_agent or row.instance)
    return SeenClient(
        address=row.address,
        user_agent=row.user_agent,
        instance=row.instance,
        on_old=row.last_at,
        on_new=on_new,
        count=row.count,
        has_moved=settled and named,
    )
