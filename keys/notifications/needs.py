"""Know what waits for a person: everything that somebody has to do something about, and that they can.

One statement finds all of it, because every page counts it, and it is written once for each kind of reader.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value

from audit.actor import Actor, ActorKind
from keys.lifecycle.inventory import Standing, ending_soon, standing_as, unused
from keys.models import (
    KeyRequest,
    KeyTransfer,
    KeyVersion,
    ManagedKey,
    Person,
    PolicyProposal,
    Rotation,
    WebhookDelivery,
    WebhookEndpoint,
)
from keys.models.webhooks import WebhookEndpointQuerySet
from keys.monitoring.laggards import with_laggards
from keys.people.standing import standing_of
from keys.prepared import LaterId, LaterIds, LaterInstant, Prepared
from keys.states import DeliveryState, RequestState, Role
from keys.webhooks.endpoints import STOPPED

MOST: Final = 100  # of a kind; whoever has more sees them in a list of its own
# Attempts that were not accepted in a row before it is more than a hiccup.
FAILING: Final = 3


class NeedKind(StrEnum):
    """What waits, the most urgent first."""

    SUSPENDED = "suspended"
    LAGGARDS = "laggards"
    CLAIM = "claim"
    QUESTION = "question"
    TRANSFER = "transfer"
    DECISION = "decision"
    PROPOSAL = "proposal"
    LEAVER = "leaver"
    ENDING = "ending"
    WITHOUT_SECRET = "without-secret"  # noqa: S105 - a kind of need
    WEBHOOK = "webhook"
    UNUSED = "unused"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The identifiers of what waits, by kind, in the order in which it should be looked at."""

    ids: Mapping[NeedKind, list[UUID]] = field(default_factory=dict)

    def of(self, kind: NeedKind) -> list[UUID]:
        return self.ids.get(kind, [])

    @property
    def total(self) -> int:
        return sum(map(len, self.ids.values()))


def needs_of(actor: Actor, *, at: datetime) -> Needs:
    """What waits for a person; for nobody else does anything."""
    if actor.kind != ActorKind.PERSON:
        return Needs()
    who = standing_of(actor, at=at)
    if not who.active or who.person_id is None:
        return Needs()
    led = [team_id for team_id in who.teams if who.is_lead_of(team_id)]
    others = set(who.seats) - {who.person_id}
    found = _statement(leads=bool(led), administers=who.has(Role.ADMINISTRATOR)).run(
        at=at, me=who.person_id, seats=[who.person_id, *others], teams=list(who.teams), led=led
    )
    ids: dict[NeedKind, list[UUID]] = {}
    for kind, pk in found:
        ids.setdefault(NeedKind(kind), []).append(pk)
    return Needs(ids=ids)


@functools.cache
def _statement(*, leads: bool, administers: bool) -> Prepared:
    first, *others = [
        rows[:MOST].annotate(need=Value(str(kind), output_field=CharField())).values_list("need", "pk")
        for kind, rows in _waiting(leads=leads, administers=administers)
    ]
    return Prepared(first.union(*others, all=True))


def _waiting(*, leads: bool, administers: bool) -> Iterator[tuple[NeedKind, QuerySet[Any]]]:
    # Any: whoever asks for an instant or an identifier puts it into a query, and a query takes these too.
    at: Any = LaterInstant("at")
    me: Any = LaterId("me")
    seats: Any = LaterIds("seats")
    led: Any = LaterIds("led")
    keys = ManagedKey.objects.filter(owner_team__in=LaterIds("teams"))
    answered_for = ManagedKey.objects.filter(Q(owner_team__in=led) | Q(recipient_id=me))
    yield NeedKind.SUSPENDED, standing_as(keys, Standing.SUSPENDED, at=at).order_by("name", "pk")
    yield NeedKind.LAGGARDS, with_laggards(Rotation.objects.filter(managed_key__in=answered_for), at=at)
    yield NeedKind.CLAIM, _claims(me, at=at)
    yield NeedKind.QUESTION, _questions(me, at=at)
    yield NeedKind.TRANSFER, _transfers(me, led, at=at)
    yield NeedKind.DECISION, KeyRequest.objects.awaiting(me, seats, at).order_by("created_at")
    if administers:
        yield NeedKind.PROPOSAL, PolicyProposal.objects.waiting().exclude(proposed_by_id=me).order_by("created_at")
    if leads or administers:
        left = ManagedKey.objects.all() if administers else ManagedKey.objects.filter(owner_team__in=led)
        yield NeedKind.LEAVER, _leavers(left, at=at)
        yield NeedKind.WEBHOOK, _failing(WebhookEndpoint.objects.living(), led, everything=administers)
    yield NeedKind.ENDING, ending_soon(keys, at=at).order_by("authorised_until", "pk")
    own = keys.filter(recipient_id=me)
    yield NeedKind.WITHOUT_SECRET, standing_as(own, Standing.UNCLAIMED, at=at).order_by("name", "pk")
    idle: QuerySet[Any] = unused(answered_for, at=at)  # with `unused_by` beside its columns
    yield NeedKind.UNUSED, idle.order_by("unused_by", "pk")


def _claims(me: UUID, *, at: datetime) -> QuerySet[KeyVersion]:
    versions = KeyVersion.objects.to_claim(at).filter(managed_key__recipient_id=me, managed_key__revoked_at=None)
    return versions.order_by("claim_until", "pk")


def _questions(me: UUID, *, at: datetime) -> QuerySet[KeyRequest]:
    requests = KeyRequest.objects.open(at).filter(state=RequestState.RETURNED, requester_id=me)
    return requests.order_by("lapses_at", "pk")


def _transfers(me: UUID, led: Collection[UUID], *, at: datetime) -> QuerySet[KeyTransfer]:
    offers = KeyTransfer.objects.waiting(at).filter(to_team_id__in=led).exclude(offered_by_id=me)
    return offers.order_by("lapses_at", "pk")


def _leavers(keys: QuerySet[ManagedKey], *, at: datetime) -> QuerySet[Person]:
    """The people without a place here who still receive or know a secret of `keys` (keys.lifecycle.leaving lists which)."""
    open_keys = keys.filter(revoked_at=None, authorised_until__gt=at)
    known = KeyVersion.objects.living(at).filter(managed_key__in=open_keys.values("pk"))
    left: QuerySet[Person] = Person.objects.filter(
        Q(pk__in=open_keys.values("recipient")) | Q(pk__in=known.values("claimed_by")), is_active=False
    )
    return left.order_by("name", "pk")


def _failing(
    endpoints: WebhookEndpointQuerySet, led: Collection[UUID], *, everything: bool
) -> QuerySet[WebhookEndpoint]:
    """Endpoints that stopped by themselves, or whose receiver has not accepted something for a while."""
    again = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"), state=DeliveryState.WAITING, attempts__gte=FAILING)
    stopped = Q(disabled_at__isnull=False) & ~Q(disabled_reason=STOPPED)
    found = endpoints.filter(stopped | Q(Exists(again), disabled_at=None))
    return (found if everything else found.filter(owner_team_id__in=led)).order_by("created_at", "pk")
