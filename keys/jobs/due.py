"""Count what is due for each kind of job, and for how long: the rows themselves say it, so it is true whatever was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Count, F, Min, Q, QuerySet
from django.db.models.functions import Coalesce, Least

from audit.models import AuditExport, AuditInspection, ExportState, InspectionState
from keys.dispatch.cursor import lag_of
from keys.models import KeyRequest, KeyVersion, Notice, Rotation, Scope, Service, WebhookDelivery
from keys.notifications.reactions import READER as NOTICES
from keys.webhooks.queue import READER as WEBHOOKS

MOST_COUNTED: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Due:
    """How many rows wait to be worked on (counted up to MOST_COUNTED), and since when the oldest does."""

    count: int
    oldest: datetime | None


Rows = QuerySet[Any]  # Any: whatever model, with `since` beside each row


def due_by(kind: str, at: datetime) -> Due | None:
    """What is due for a kind of job at `at`; None for kinds that look at everything each time."""
    find = _DUE.get(kind)
    return None if find is None else _sum(find(at))


def _sum(parts: Iterable[Due]) -> Due:
    found = list(parts)
    times = [each.oldest for each in found if each.oldest is not None]
    return Due(count=min(sum(each.count for each in found), MOST_COUNTED), oldest=min(times, default=None))


def _counted(rows: Rows) -> Due:
    told = rows.order_by("since")[:MOST_COUNTED].aggregate(count=Count("since"), oldest=Min("since"))
    return Due(count=told["count"], oldest=told["oldest"])


def _unread(reader: str, at: datetime) -> Due:
    lag = lag_of(reader)
    return Due(count=lag.leaves, oldest=at - lag.age if lag.leaves else None)


def _over(at: datetime) -> list[Due]:
    return [
        _counted(KeyVersion.objects.over_by(at).annotate(since=F("ends_at"))),
        _counted(KeyRequest.objects.lapsed_by(at).annotate(since=F("lapses_at"))),
        *(
            _counted(model.objects.filter(retired_at=None, retires_at__lte=at).annotate(since=F("retires_at")))
            for model in (Service, Scope)
        ),
    ]


def _rotations(at: datetime) -> list[Due]:
    ended = Coalesce("old_version__ended_at", Least("old_version__expires_at", "old_version__retire_at"))
    lapsed = Coalesce("new_version__ended_at", "new_version__claim_until")
    return [
        _counted(Rotation.objects.due(at).annotate(since=F("due_at"))),
        _counted(Rotation.objects.over(at).annotate(since=ended)),
        _counted(Rotation.objects.untaken(at).annotate(since=lapsed)),
    ]


def _told(at: datetime) -> list[Due]:
    return [_unread(NOTICES, at)]


def _mails(at: datetime) -> list[Due]:
    return [_counted(Notice.objects.due(at).annotate(since=Coalesce("next_attempt_at", "created_at")))]


def _webhooks(at: datetime) -> list[Due]:
    return [_counted(WebhookDelivery.objects.due(at).annotate(since=F("next_attempt_at"))), _unread(WEBHOOKS, at)]


def _exports(at: datetime) -> list[Due]:
    left = Q(state=ExportState.RUNNING, lease_until__lte=at)
    waits = AuditExport.objects.filter(Q(state=ExportState.WAITING) | left)
    return [_counted(waits.annotate(since=Coalesce("lease_until", "requested_at")))]


def _inspections(at: datetime) -> list[Due]:
    left = Q(state=InspectionState.RUNNING, lease_until__lte=at)
    waits = AuditInspection.objects.filter(Q(state=InspectionState.WAITING) | left)
    return [_counted(waits.annotate(since=Coalesce("lease_until", "asked_at")))]


_DUE: Final[Mapping[str, Callable[[datetime], list[Due]]]] = {
    "keys.end_what_is_over": _over,
    "keys.rotate": _rotations,
    "keys.react": _told,
    "keys.send_mail": _mails,
    "keys.send_webhooks": _webhooks,
    "keys.make_exports": _exports,
    "keys.inspect_log": _inspections,
}
