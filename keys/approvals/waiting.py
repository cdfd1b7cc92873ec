"""Say how long requests like this one usually waited."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median

from keys.models import Environment, KeyRequest, Service
from keys.states import RequestState

REMEMBERED = timedelta(days=180)
MOST = 30
FEWEST = 3
SHORTEST = timedelta(minutes=1)


def usual_wait(service: Service, environment: Environment, *, at: datetime) -> timedelta | None:
    """The median time from asking to a decision of the latest requests; None when there is nothing to say."""
    decided = KeyRequest.objects.filter(
        service=service,
        environment=environment,
        state__in=(RequestState.APPROVED, RequestState.DENIED),
        decided_at__gt=at - REMEMBERED,
    ).order_by("-decided_at")
    spans = decided.values_list("created_at", "decided_at")[:MOST]
    waits = [(end - start).total_seconds() for start, end in spans if end is not None]
    usual = timedelta(seconds=median(waits)) if len(waits) >= FEWEST else None
    return usual if usual is not None and usual >= SHORTEST else None
