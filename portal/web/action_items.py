"""List what waits for this person on the start page: claims, questions, offers, endings, stops, decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.actor import Actor
from keys.lifecycle.inventory import Standing, ending_soon, lines_of, standing_as
from keys.models import KeyRequest, KeyTransfer, KeyVersion, ManagedKey, Team
from keys.states import RequestState, VersionState
from portal.templatetags.times import relative
from portal.web.finding import teams_led_by

MOST_OF_A_KIND = 4


@dataclass(frozen=True, kw_only=True)
class ActionItem:
    """One thing to do, with the page where it is done."""

    title: str
    detail: str
    href: str
    label: str
    icon: str
    tone: str = "info"
    environment: object | None = None


def action_items(actor: Actor, *, teams: Sequence[Team], waiting: int, at: datetime) -> list[ActionItem]:
    """List them, the most urgent kind first; `waiting` requests wait for this person's decision."""
    keys = ManagedKey.objects.visible_to(actor).filter(owner_team__in=teams).select_related("environment")
    return [
        *_suspended(keys, at=at),
        *_claims(actor, at=at),
        *_questions(actor, at=at),
        *_transfers(actor, at=at),
        *_decisions(waiting),
        *_endings(keys, at=at),
        *_without_secret(keys.filter(recipient_id=UUID(actor.id)), at=at),
    ]


def _claims(actor: Actor, *, at: datetime) -> Iterator[ActionItem]:
    versions = (
        KeyVersion.objects.visible_to(actor)
        .living(at)
        .filter(
            state=VersionState.PRE_ACTIVATION, managed_key__recipient_id=UUID(actor.id), managed_key__revoked_at=None
        )
        .select_related("managed_key__service", "managed_key__environment")
        .order_by("claim_until")
    )
    for version in versions[:MOST_OF_A_KIND]:
        key = version.managed_key
        yield ActionItem(
            title=_("Claim the secret of %(name)s") % {"name": key.name},
            detail=_("%(service)s · lapses %(when)s")
            % {"service": key.service.name, "when": relative(version.claim_until, at=at)},
            href=reverse("claim", args=[key.number]),
            label=_("Claim"),
            icon="package-open",
            environment=key.environment,
        )


def _questions(actor: Actor, *, at: datetime) -> Iterator[ActionItem]:
    rows = (
        KeyRequest.objects.visible_to(actor)
        .open(at)
        .filter(state=RequestState.RETURNED, requester_id=UUID(actor.id))
        .select_related("environment")
        .order_by("lapses_at")
    )
    for request in rows[:MOST_OF_A_KIND]:
        yield ActionItem(
            title=_("Answer the question about %(request)s") % {"request": request},
            detail=f"“{request.question[:140]}”",
            href=reverse("request", args=[request.number]),
            label=_("Answer"),
            icon="message-circle-question-mark",
            tone="warning",
            environment=request.environment,
        )


def _transfers(actor: Actor, *, at: datetime) -> Iterator[ActionItem]:
    rows = (
        KeyTransfer.objects.visible_to(actor)
        .waiting(at)
        .filter(to_team__in=teams_led_by(actor))
        .exclude(offered_by_id=UUID(actor.id))
        .select_related("managed_key__environment", "from_team", "to_team")
        .order_by("lapses_at")
    )
    for transfer in rows[:MOST_OF_A_KIND]:
        yield ActionItem(
            title=_("%(team)s offers %(name)s to %(to)s")
            % {"team": transfer.from_team, "name": transfer.managed_key.name, "to": transfer.to_team},
            detail=_("The offer lapses %(when)s") % {"when": relative(transfer.lapses_at, at=at)},
            href=reverse("transfer", args=[transfer.managed_key.number]),
            label=_("Answer"),
            icon="arrow-right-left",
            environment=transfer.managed_key.environment,
        )


def _decisions(count: int) -> Iterator[ActionItem]:
    if count:
        yield ActionItem(
            title=ngettext(
                "%(count)s request waits for your decision", "%(count)s requests wait for your decision", count
            )
            % {"count": count},
            detail=_("The riskiest and oldest come first."),
            href=reverse("inbox"),
            label=_("Open the inbox"),
            icon="inbox",
        )


def _suspended(keys: QuerySet[ManagedKey], *, at: datetime) -> Iterator[ActionItem]:
    rows = standing_as(keys, Standing.SUSPENDED, at=at).order_by("name", "pk")
    for key in rows[:MOST_OF_A_KIND]:
        yield ActionItem(
            title=_("%(name)s is suspended") % {"name": key.name},
            detail=_("Nothing that presents it is let in. Replace, reinstate or revoke it."),
            href=reverse("key", args=[key.number]),
            label=_("Look"),
            icon="circle-pause",
            tone="danger",
            environment=key.environment,
        )


def _endings(keys: QuerySet[ManagedKey], *, at: datetime) -> Iterator[ActionItem]:
    rows = list(ending_soon(keys, at=at).order_by("authorised_until", "pk")[: MOST_OF_A_KIND + 1])
    lines = lines_of(rows[:MOST_OF_A_KIND], at=at)
    for line in lines:
        key, ends_at = line.key, line.ends_at or line.key.authorised_until
        yield ActionItem(
            title=_("%(name)s ends %(when)s") % {"name": key.name, "when": relative(ends_at, at=at)},
            detail=_("Issue a new version or ask for a renewal before then."),
            href=reverse("key", args=[key.number]),
            label=_("Prepare"),
            icon="calendar-clock",
            tone="warning",
            environment=key.environment,
        )
    if len(rows) > MOST_OF_A_KIND:
        yield ActionItem(
            title=_("More keys end within 30 days"),
            detail=_("See them all in the list."),
            href=f"{reverse('keys')}?state=ending",
            label=_("Show"),
            icon="calendar-clock",
            tone="warning",
        )


def _without_secret(keys: QuerySet[ManagedKey], *, at: datetime) -> Iterator[ActionItem]:
    for key in standing_as(keys, Standing.UNCLAIMED, at=at).order_by("name", "pk")[:MOST_OF_A_KIND]:
        yield ActionItem(
            title=_("%(name)s has no living version") % {"name": key.name},
            detail=_("Its secret ended or was not claimed in time. Issue a new version if it is still needed."),
            href=reverse("key", args=[key.number]),
            label=_("Look"),
            icon="circle-dashed",
            tone="neutral",
            environment=key.environment,
        )
