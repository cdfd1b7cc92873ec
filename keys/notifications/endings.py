"""Find what ends soon, or just ended, and of which nobody was reminded yet at this threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Least

from keys.lifecycle.inventory import unused
from keys.models import KeyRequest, KeyVersion, ManagedKey, Reminder, Rotation
from keys.states import WAITING_ROTATION_STATES, RequestState, RotationState, VersionState

# Days before the end; 0 is after it.
BEFORE_AN_END = (30, 14, 7, 1, 0)
LAST_DAY = (1,)
LAST_DAY_AND_AFTER = (1, 0)
WHEN_PREPARED = 7  # whoever was asked to claim the next secret is left in peace until then
# What ended longer ago than this is history: a site that was off for a month does not begin with old news.
LATE = timedelta(days=7)
DAY = timedelta(days=1)

Found = QuerySet[Any]  # rows with `end`, `reached` and `begun` beside their columns


def ending_keys(at: datetime) -> Found:
    """Keys whose authorisation ends: what helps is a renewal."""
    keys = ManagedKey.objects.filter(revoked_at=None).annotate(end=F("authorised_until"), begun=F("created_at"))
    return _reached(keys, "key", BEFORE_AN_END, at).select_related("service", "environment")


def ending_versions(at: datetime) -> Found:
    """Working versions that end before the authorisation does, and that no rotation replaces by itself in time."""
    newer = KeyVersion.objects.filter(
        managed_key=OuterRef("managed_key"),
        sequence__gt=OuterRef("sequence"),
        state__in=(VersionState.ACTIVE, VersionState.SUSPENDED),
        digest__isnull=False,
    )
    opened = Rotation.objects.open().filter(managed_key=OuterRef("managed_key"))
    versions = (
        KeyVersion.objects.filter(
            Q(state=VersionState.ACTIVE) | Q(state=VersionState.DEACTIVATED, ended_reason__in=("expired", "retired")),
            managed_key__revoked_at=None,
            digest__isnull=False,
        )
        .annotate(end=Least("expires_at", "retire_at"), begun=F("activated_at"))
        .filter(end__lt=F("managed_key__authorised_until"))
    )
    planned = Exists(opened.filter(state=RotationState.SCHEDULED, due_at__lt=OuterRef("end")))
    prepared = Exists(opened.filter(state__in=WAITING_ROTATION_STATES))
    found = _reached(versions, "version", BEFORE_AN_END, at).annotate(is_planned=planned, is_prepared=prepared)
    unplanned: Found = found.filter(
        ~Exists(newer),
        Q(reached=0) | Q(is_planned=False),
        Q(reached__lte=WHEN_PREPARED) | Q(is_prepared=False),
    )
    return unplanned.select_related("managed_key__service", "managed_key__environment")


def lapsing_claims(at: datetime) -> Found:
    """Secrets that nobody claims, where no older one works on; those of a rotation are told of by what ends."""
    working = KeyVersion.objects.living(at).filter(managed_key=OuterRef("managed_key"), state=VersionState.ACTIVE)
    replacing = Rotation.objects.filter(new_version=OuterRef("pk"), old_version__isnull=False)
    versions = KeyVersion.objects.filter(
        Q(state=VersionState.PRE_ACTIVATION) | Q(state=VersionState.DEACTIVATED, ended_reason="claim-lapsed"),
        ~Exists(working),
        ~Exists(replacing),
        managed_key__revoked_at=None,
        managed_key__authorised_until__gt=at,
        digest=None,
    ).annotate(end=F("claim_until"), begun=F("created_at"))
    found = _reached(versions, "claim", LAST_DAY_AND_AFTER, at)
    return found.select_related("managed_key__service", "managed_key__environment")


def lapsing_requests(at: datetime) -> Found:
    """Requests that nobody decides, or whose question nobody answers, on their last day."""
    states = (RequestState.PENDING, RequestState.RETURNED)
    requests = KeyRequest.objects.filter(state__in=states, lapses_at__gt=at)
    return _reached(requests.annotate(end=F("lapses_at"), begun=F("created_at")), "request", LAST_DAY, at)


def unused_keys(at: datetime) -> Found:
    """Working keys that nobody has used for as long as their policy says; once for each span without use."""
    keys = unused(ManagedKey.objects.all(), at=at)
    found: Found = keys.annotate(begun=F("unused_since"), end=F("unused_by"), reached=Value(0)).filter(~_told("unused"))
    return found.order_by("end", "pk").select_related("service", "environment")


def _reached(rows: QuerySet[Any], kind: str, days: Sequence[int], at: datetime) -> Found:
    """Keep what has reached a threshold, the most urgent one, of which no reminder was written."""
    reached = Case(*(When(end__lte=at + day * DAY, then=Value(day)) for day in sorted(days)))
    near: Found = rows.filter(end__gt=at - LATE, end__lte=at + max(days) * DAY).annotate(reached=reached)
    return near.filter(~_told(kind)).order_by("end", "pk")


def _told(kind: str) -> Exists:
    return Exists(
        Reminder.objects.filter(
            kind=kind, subject_id=OuterRef("pk"), ends_at=OuterRef("end"), days_before__lte=OuterRef("reached")
        )
    )


def worth_telling(row: Any) -> bool:
    """Whether the threshold lies after the beginning: a key for five days is not announced to end in thirty, or in seven."""
    return bool(row.reached == 0 or row.begun is None or row.end - row.reached * DAY > row.begun)


def batches(found: Found, size: int) -> Iterator[list[Any]]:
    """Give the rows in batches until none is left; each batch must be written down before the next is asked for."""
    while rows := list(found[:size]):
        yield rows
