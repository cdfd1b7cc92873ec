"""Tell the whole life of one key: the wish, the decisions, the secrets, the use, the end, and every event of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q, Sum

from audit.actor import Actor
from audit.events import LogRead
from audit.log import record
from audit.models import AuditEvent
from audit.reading import read_events
from audit.scanning import Filter, Question, find_page
from audit.seals import Seal, seals_of
from keys.approvals.evidence import SignatureState, signature_state
from keys.models import Approval, KeyRequest, KeyTransfer, KeyVersion, ManagedKey, Sighting, UsageCount
from keys.operations import operation
from keys.reports.labels import Names, names_in
from keys.reports.log import LOG, decide_reading
from keys.reports.searches import Subject, subjects_of
from keys.states import VALID

MOST_EVENTS = 1_000


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One decision about a request of the key, and what its signature is worth today."""

    approval: Approval
    signature: SignatureState


@dataclass(frozen=True, kw_only=True)
class Use:
    """What one version was used for."""

    version: KeyVersion
    accepted: int
    refused: int
    first_at: datetime | None
    last_at: datetime | None
    places: int


@dataclass(frozen=True, kw_only=True)
class KeyLife:
    """Everything about one key on one page. `requests` holds the first wish and the renewals, oldest first.

    `events` are the newest MOST_EVENTS, oldest first; `has_older` when there are more.
    """

    key: ManagedKey
    requests: list[KeyRequest]
    decisions: list[Decided]
    versions: list[KeyVersion]
    transfers: list[KeyTransfer]
    uses: list[Use]
    events: list[AuditEvent]
    has_older: bool
    seals: Mapping[int, Seal]
    names: Names


@operation
def read_key_life(key: ManagedKey, *, actor: Actor) -> KeyLife:
    """Gather the life of `key`, and put that it was read on record."""
    at = decide_reading(actor)
    requests = list(
        KeyRequest.objects.filter(Q(pk=key.request_id) | Q(renews=key))
        .select_related("requester", "recipient", "environment", "service", "owner_team", "requested_by_key", "policy")
        .order_by("created_at", "id")
    )
    approvals = Approval.objects.filter(request__in=requests).select_related("person", "seat", "request")
    events, has_older = _events(key, requests)
    life = KeyLife(
        key=key,
        requests=requests,
        decisions=[
            Decided(approval=each, signature=signature_state(each)) for each in approvals.order_by("created_at", "id")
        ],
        versions=list(key.versions.select_related("managed_key", "claimed_by").order_by("sequence")),
        transfers=list(key.transfers.select_related("from_team", "to_team", "offered_by", "decided_by")),
        uses=_uses(key),
        events=events,
        has_older=has_older,
        seals=seals_of(event.pk for event in events),
        names=names_in(events),
    )
    record(LogRead(target_id=LOG, searched={"life": f"key:{key.pk}"}, shown=len(events)), actor=actor, at=at)
    return life


def _events(key: ManagedKey, requests: list[KeyRequest]) -> tuple[list[AuditEvent], bool]:
    wanted = [Subject("key", str(key.pk)), *(Subject("request", str(each.pk)) for each in requests)]
    subjects = [subject for each in wanted for subject in subjects_of(each)]
    # A refused attempt names the thing that was asked for by its identifier alone.
    lanes = [lane for subject in subjects for lane in (subject, Subject("access", subject.id))]
    question = Question(filters=(Filter(("target_type", "target_id"), tuple(lanes)),))
    found = find_page(question, size=MOST_EVENTS)
    return read_events([place.id for place in reversed(found.places)]).events, found.has_more


def _uses(key: ManagedKey) -> list[Use]:
    counted: dict[Any, Any] = {
        row["version"]: row
        for row in UsageCount.objects.filter(version__managed_key=key)
        .values("version")
        .annotate(
            accepted=Sum("count", filter=Q(outcome=VALID)),
            refused=Sum("count", filter=~Q(outcome=VALID)),
            first_at=Min("hour"),
            last_at=Max("last_at"),
        )
    }
    places = dict(
        Sighting.objects.filter(version__managed_key=key)
        .values_list("version")
        .annotate(Count("address", distinct=True))
    )
    return [
        Use(
            version=version,
            accepted=counted[version.pk]["accepted"] or 0,
            refused=counted[version.pk]["refused"] or 0,
            first_at=counted[version.pk]["first_at"],
            last_at=counted[version.pk]["last_at"],
            places=places.get(version.pk, 0),
        )
        for version in key.versions.select_related("managed_key").order_by("sequence")
        if version.pk in counted
    ]
