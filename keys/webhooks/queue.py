"""Keep the rows of deliveries: the one place that writes their state. The row is the queue, its lease says who is at it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import OuterRef, Subquery

from audit import clock
from keys.crypto.errors import CryptoError
from keys.crypto.secrets import Secret
from keys.dispatch.cursor import Told
from keys.models import WebhookDelivery, WebhookEndpoint
from keys.states import DeliveryState, EndpointForm
from keys.webhooks.payload import TEST, body_of, message_id, test_body, test_message
from keys.webhooks.reach import row_of, subject_of, teams_of
from keys.webhooks.secrets import open_secrets
from keys.webhooks.sending import ACCEPTED, Answer, Parcel
from keys.webhooks.turns import LATE_MS, Turn, choose

READER: Final = "webhooks"
# The wait before each attempt, as Standard Webhooks suggests: ten attempts within 75 hours and 35 minutes.
WAITS: Final = (
    timedelta(),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# Longer than an attempt can last; after it, whoever took the delivery is dead.
LEASE: Final = timedelta(seconds=60)
KEPT: Final = timedelta(days=30)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One thing to say in one chat, once: `uid` is that of the event, or of what the clock reminds of."""

    endpoint: WebhookEndpoint
    uid: UUID
    kind: str
    body: str
    leaf: int | None = None


def queue_deliveries(told: Told) -> int:
    """Write a row for each endpoint that is to be told of a sealed event; again is harmless. Returns how many there are."""
    wanted = WebhookEndpoint.objects.enabled().filter(
        form=EndpointForm.EVENTS, kinds__contains=[told.action], created_at__lte=told.occurred_at
    )
    endpoints = list(wanted)
    if not endpoints:
        return 0
    row = row_of(told)
    teams, subject = teams_of(row), subject_of(row)
    reached = [each for each in endpoints if each.owner_team_id is None or each.owner_team_id in teams]
    at, body = clock.now(), body_of(told, subject)
    rows = [
        WebhookDelivery(
            endpoint=endpoint,
            event_uid=told.uid,
            action=told.action,
            leaf=told.leaf,
            body=body,
            created_at=at,
            next_attempt_at=at + WAITS[0],
        )
        for endpoint in reached
    ]
    return len(WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True))


def queue_messages(messages: Iterable[Message], *, at: datetime) -> int:
    """Write a row for each message to a chat; again is harmless. Returns how many there are."""
    rows = [
        WebhookDelivery(
            endpoint=each.endpoint,
            event_uid=each.uid,
            action=each.kind,
            leaf=each.leaf,
            body=each.body,
            created_at=at,
            next_attempt_at=at + WAITS[0],
        )
        for each in messages
    ]
    return len(WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True))


def queue_test(endpoint: WebhookEndpoint, *, uid: UUID, at: datetime) -> WebhookDelivery:
    """Write the row of a test: it does not wait to be sealed, because nothing happened but the test."""
    return WebhookDelivery.objects.create(
        endpoint=endpoint,
        event_uid=uid,
        action=TEST,
        body=test_message()
        if endpoint.form == EndpointForm.CHAT
        else test_body(uid=uid, endpoint_id=endpoint.pk, at=at),
        created_at=at,
        next_attempt_at=at,
    )


def take_due(*, sending: Collection[Parcel]) -> list[Parcel]:
    """Take the next delivery of each endpoint whose turn it is beside those that are `sending`."""
    at = clock.now()
    first = (
        WebhookDelivery.objects.due(at)
        .exclude(endpoint_id__in={parcel.endpoint_id for parcel in sending})
        .order_by("endpoint_id", "next_attempt_at", "id")
        .distinct("endpoint_id")
        .values_list("next_attempt_at", "pk", "attempts", "endpoint__url")
    )
    found = sorted(first)  # where not all fit, who waits longest comes first: nobody's long backlog keeps another out
    if not found:
        return []
    late = _after_late_ones([pk for _, pk, *_ in found])
    waiting = [Turn(delivery_id=pk, url=url, is_tardy=attempts > 0 or pk in late) for _, pk, attempts, url in found]
    chosen = {turn.delivery_id: turn.is_tardy for turn in choose(waiting, sending=sending)}
    if not chosen:
        return []
    with transaction.atomic():
        held = list(
            WebhookDelivery.objects.due(at)
            .filter(pk__in=chosen)
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("endpoint")
        )
        lease = clock.now() + LEASE
        for row in held:
            row.attempts, row.lease_until = row.attempts + 1, lease
        WebhookDelivery.objects.bulk_update(held, ["attempts", "lease_until"])
    return [_parcel(row, is_tardy=chosen[row.pk], at=at) for row in held]


def _after_late_ones(deliveries: Collection[UUID]) -> set[UUID]:
    """Which of them come after one, to the same endpoint, that was answered late."""
    before = WebhookDelivery.objects.filter(endpoint=OuterRef("endpoint"), created_at__lt=OuterRef("created_at"))
    taken = Subquery(before.order_by("-created_at", "-id").values("latency_ms")[:1])
    late = WebhookDelivery.objects.filter(pk__in=deliveries).annotate(taken=taken).filter(taken__gte=LATE_MS)
    return set(late.values_list("pk", flat=True))


def _parcel(row: WebhookDelivery, *, is_tardy: bool, at: datetime) -> Parcel:
    assert row.lease_until is not None
    is_signed = row.endpoint.form == EndpointForm.EVENTS
    secrets: tuple[Secret, ...] = ()
    if is_signed:
        try:
            secrets = open_secrets(row.endpoint, at=at)
        except CryptoError:
            log.warning("webhook_secret_unreadable", endpoint=str(row.endpoint_id))
    return Parcel(
        delivery_id=row.pk,
        endpoint_id=row.endpoint_id,
        message_id=message_id(row.endpoint_id, row.event_uid),
        action=row.action,
        url=row.endpoint.url,
        body=row.body,
        is_signed=is_signed,
        secrets=secrets,
        attempt=row.attempts,
        is_tardy=is_tardy,
        lease_until=row.lease_until,
    )


def note_accepted(parcel: Parcel, answer: Answer) -> bool:
    """Write that the receiver has it, also when the lease is over: what was accepted is not sent again."""
    at = clock.now()
    waiting = WebhookDelivery.objects.filter(pk=parcel.delivery_id, state=DeliveryState.WAITING)
    return bool(
        waiting.update(
            state=DeliveryState.ACCEPTED,
            accepted_at=at,
            attempted_at=at,
            lease_until=None,
            next_attempt_at=None,
            outcome=ACCEPTED,
            status_code=answer.status_code,
            latency_ms=answer.latency_ms,
            answer=answer.text,
        )
    )


def note_refused(parcel: Parcel, answer: Answer, *, is_last: bool) -> bool:
    """Write that it was not accepted, and when it is tried again, or that it is given up."""
    at = clock.now()
    ours = WebhookDelivery.objects.filter(
        pk=parcel.delivery_id,
        state=DeliveryState.WAITING,
        attempts=parcel.attempt,
        lease_until=parcel.lease_until,
    )
    return bool(
        ours.update(
            state=DeliveryState.FAILED if is_last else DeliveryState.WAITING,
            next_attempt_at=None if is_last else at + WAITS[parcel.attempt],
            attempted_at=at,
            lease_until=None,
            outcome=answer.outcome,
            status_code=answer.status_code,
            latency_ms=answer.latency_ms,
            answer=answer.text,
        )
    )


def is_last(parcel: Parcel) -> bool:
    """Whether no attempt is left after this one."""
    return parcel.attempt >= len(WAITS)


def restart(delivery: WebhookDelivery, *, at: datetime) -> None:
    """Begin the schedule of one delivery again, accepted or not."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=DeliveryState.WAITING, attempts=0, next_attempt_at=at, lease_until=None, accepted_at=None
    )


def restart_unaccepted(endpoint: WebhookEndpoint, *, at: datetime) -> int:
    """Begin the schedule of everything again that an endpoint has not accepted; returns how many."""
    rows = WebhookDelivery.objects.filter(endpoint=endpoint).exclude(state=DeliveryState.ACCEPTED)
    return rows.update(state=DeliveryState.WAITING, attempts=0, next_attempt_at=at, lease_until=None)


def forget_deliveries() -> int:
    """Delete what is older than 30 days and waits for nothing, and previous secrets that no longer sign."""
    at = clock.now()
    enabled = WebhookEndpoint.objects.enabled().values("pk")
    old = WebhookDelivery.objects.filter(created_at__lt=at - KEPT)
    deleted, _ = old.exclude(state=DeliveryState.WAITING, endpoint__in=enabled).delete()
    spent = WebhookEndpoint.objects.filter(previous_until__lte=at).exclude(previous_secret="")
    return deleted + spent.update(previous_secret="")
