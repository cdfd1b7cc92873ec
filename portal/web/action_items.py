"""Say what waits for a person, in words, each with the one page where something is done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.actor import Actor
from keys.lifecycle.inventory import end_of_version, lines_of
from keys.models import (
    KeyRequest,
    KeyTransfer,
    KeyVersion,
    ManagedKey,
    Person,
    PolicyProposal,
    Rotation,
    WebhookEndpoint,
)
from keys.monitoring.laggards import laggards_of
from keys.notifications.needs import NeedKind, Needs
from keys.states import KeyKind
from portal.templatetags.times import relative
from portal.web.finding import rotating_versions

Row = TypeVar("Row", bound=Model)
MOST_OF_A_KIND = 4


@dataclass(frozen=True, kw_only=True)
class ActionItem:
    """One thing to do, with the page where it is done."""

    kind: NeedKind
    title: str
    detail: str
    href: str
    label: str
    icon: str
    tone: str = "info"
    environment: object | None = None


def action_items(actor: Actor, needs: Needs, *, at: datetime, most: int = MOST_OF_A_KIND) -> list[ActionItem]:
    """Say them, the most urgent kind first, at most so many of a kind."""
    return [item for kind in NeedKind if needs.of(kind) for item in _SAID[kind](actor, needs.of(kind), at, most)]


def _in_order(rows: QuerySet[Row], ids: Sequence[UUID]) -> list[Row]:
    found = {row.pk: row for row in rows.filter(pk__in=ids)}
    return [found[pk] for pk in ids if pk in found]


def _keys(actor: Actor, ids: Sequence[UUID]) -> list[ManagedKey]:
    return _in_order(ManagedKey.objects.visible_to(actor).select_related("service", "environment"), ids)


def _suspended(actor: Actor, ids: Sequence[UUID], _at: datetime, most: int) -> Iterator[ActionItem]:
    for key in _keys(actor, ids[:most]):
        yield ActionItem(
            kind=NeedKind.SUSPENDED,
            title=_("%(name)s is suspended") % {"name": key.name},
            detail=_("Nothing that presents it is let in. Replace, reinstate or revoke it."),
            href=reverse("key", args=[key.number]),
            label=_("Look"),
            icon="circle-pause",
            tone="danger",
            environment=key.environment,
        )


def _laggards(actor: Actor, ids: Sequence[UUID], at: datetime, most: int) -> Iterator[ActionItem]:
    rows = Rotation.objects.visible_to(actor).select_related("managed_key__environment", "old_version")
    for rotation in _in_order(rows, ids[:most]):
        key, old = rotation.managed_key, rotation.old_version
        count = len(laggards_of(rotation, at=at))
        ends_at = end_of_version(old) if old is not None else None
        yield ActionItem(
            kind=NeedKind.LAGGARDS,
            title=ngettext(
                "%(count)s client still uses the old secret of %(name)s",
                "%(count)s clients still use the old secret of %(name)s",
                count,
            )
            % {"count": count, "name": key.name},
            detail=_("The old one ends %(when)s") % {"when": relative(ends_at, at=at)} if ends_at else "",
            href=reverse("rotation", args=[key.number]),
            label=_("See who"),
            icon="users-round",
            tone="warning",
            environment=key.environment,
        )


def _claims(actor: Actor, ids: Sequence[UUID], at: datetime, most: int) -> Iterator[ActionItem]:
    rows = KeyVersion.objects.visible_to(actor).select_related("managed_key__service", "managed_key__environment")
    replacing = rotating_versions(ids[:most], actor=actor)
    for version in _in_order(rows, ids[:most]):
        key = version.managed_key
        if key.kind == KeyKind.ED25519:
            title, label = _("Give the public key of %(name)s"), _("Put it to use")
        elif version.pk in replacing:
            title, label = _("Claim the next secret of %(name)s"), _("Claim")
        else:
            title, label = _("Claim the secret of %(name)s"), _("Claim")
        yield ActionItem(
            kind=NeedKind.CLAIM,
            title=title % {"name": key.name},
            detail=_("%(service)s · lapses %(when)s")
            % {"service": key.service.name, "when": relative(version.claim_until, at=at)},
            href=reverse("claim", args=[key.number]),
            label=label,
            icon="package-open",
            environment=key.environment,
        )


def _questions(actor: Actor, ids: Sequence[UUID], _at: datetime, most: int) -> Iterator[ActionItem]:
    for request in _in_order(KeyRequest.objects.visible_to(actor).select_related("environment"), ids[:most]):
        yield ActionItem(
            kind=NeedKind.QUESTION,
            title=_("Answer the question about %(request)s") % {"request": request},
            detail=f"“{request.question[:140]}”",
            href=reverse("request", args=[request.number]),
            label=_("Answer"),
            icon="message-circle-question-mark",
            tone="warning",
            environment=request.environment,
        )


def _transfers(actor: Actor, ids: Sequence[UUID], at: datetime, most: int) -> Iterator[ActionItem]:
    rows = KeyTransfer.objects.visible_to(actor).select_related("managed_key__environment", "from_team", "to_team")
    for transfer in _in_order(rows, ids[:most]):
        yield ActionItem(
            kind=NeedKind.TRANSFER,
            title=_("%(team)s offers %(name)s to %(to)s")
            % {"team": transfer.from_team, "name": transfer.managed_key.name, "to": transfer.to_team},
            detail=_("The offer lapses %(when)s") % {"when": relative(transfer.lapses_at, at=at)},
            href=reverse("transfer", args=[transfer.managed_key.number]),
            label=_("Answer"),
            icon="arrow-right-left",
            environment=transfer.managed_key.environment,
        )


def _decisions(_actor: Actor, ids: Sequence[UUID], _at: datetime, _most: int) -> Iterator[ActionItem]:
    yield ActionItem(
        kind=NeedKind.DECISION,
        title=ngettext(
            "%(count)s request waits for your decision", "%(count)s requests wait for your decision", len(ids)
        )
        % {"count": len(ids)},
        detail=_("The riskiest and oldest come first."),
        href=reverse("inbox"),
        label=_("Open the inbox"),
        icon="inbox",
    )


def _proposals(actor: Actor, ids: Sequence[UUID], _at: datetime, most: int) -> Iterator[ActionItem]:
    rows = PolicyProposal.objects.visible_to(actor).select_related("service", "environment")
    for proposal in _in_order(rows, ids[:most]):
        yield ActionItem(
            kind=NeedKind.PROPOSAL,
            title=_("Weaker rules are proposed for %(service)s") % {"service": proposal.service.name},
            detail=_("They hold only if a second administrator accepts them."),
            href=reverse("policy_proposals"),
            label=_("Decide"),
            icon="scale",
            tone="warning",
            environment=proposal.environment,
        )


def _leavers(actor: Actor, ids: Sequence[UUID], _at: datetime, most: int) -> Iterator[ActionItem]:
    for person in _in_order(Person.objects.visible_to(actor), ids[:most]):
        yield ActionItem(
            kind=NeedKind.LEAVER,
            title=_("%(name)s left, and keys are not handed over") % {"name": person.name},
            detail=_("Name who receives each, and replace the secrets they knew."),
            href=reverse("left", args=[person.pk]),
            label=_("Hand over"),
            icon="user-round-x",
            tone="warning",
        )


def _endings(actor: Actor, ids: Sequence[UUID], at: datetime, most: int) -> Iterator[ActionItem]:
    for line in lines_of(_keys(actor, ids[:most]), at=at):
        key, ends_at = line.key, line.ends_at or line.key.authorised_until
        yield ActionItem(
            kind=NeedKind.ENDING,
            title=_("%(name)s ends %(when)s") % {"name": key.name, "when": relative(ends_at, at=at)},
            detail=_("Issue a new version or ask for a renewal before then."),
            href=reverse("key", args=[key.number]),
            label=_("Prepare"),
            icon="calendar-clock",
            tone="warning",
            environment=key.environment,
        )
    if len(ids) > most:
        yield ActionItem(
            kind=NeedKind.ENDING,
            title=_("More keys end within 30 days"),
            detail=_("See them all in the list."),
            href=f"{reverse('keys')}?state=ending",
            label=_("Show"),
            icon="calendar-clock",
            tone="warning",
        )


def _without_secret(actor: Actor, ids: Sequence[UUID], _at: datetime, most: int) -> Iterator[ActionItem]:
    for key in _keys(actor, ids[:most]):
        yield ActionItem(
            kind=NeedKind.WITHOUT_SECRET,
            title=_("%(name)s has no living version") % {"name": key.name},
            detail=_("Its secret ended or was not claimed in time. Issue a new version if it is still needed."),
            href=reverse("key", args=[key.number]),
            label=_("Look"),
            icon="circle-dashed",
            tone="neutral",
            environment=key.environment,
        )


def _webhooks(actor: Actor, ids: Sequence[UUID], _at: datetime, most: int) -> Iterator[ActionItem]:
    for endpoint in _in_order(WebhookEndpoint.objects.visible_to(actor), ids[:most]):
        stopped = endpoint.disabled_at is not None
        yield ActionItem(
            kind=NeedKind.WEBHOOK,
            title=(_("The webhook %(name)s was disabled") if stopped else _("The webhook %(name)s is failing"))
            % {"name": endpoint.description},
            detail=_("Its receiver does not accept what is sent. Look at its answers, repair it, and send again."),
            href=reverse("webhook", args=[endpoint.pk]),
            label=_("Look"),
            icon="unplug",
            tone="danger" if stopped else "warning",
        )


def _unused(actor: Actor, ids: Sequence[UUID], _at: datetime, most: int) -> Iterator[ActionItem]:
    for key in _keys(actor, ids[:most]):
        yield ActionItem(
            kind=NeedKind.UNUSED,
            title=_("%(name)s is not used") % {"name": key.name},
            detail=_("If nothing needs it, revoke it: what does not exist cannot leak."),
            href=reverse("key", args=[key.number]),
            label=_("Decide"),
            icon="moon",
            tone="neutral",
            environment=key.environment,
        )


_SAID: Mapping[NeedKind, Callable[[Actor, Sequence[UUID], datetime, int], Iterator[ActionItem]]] = {
    NeedKind.SUSPENDED: _suspended,
    NeedKind.LAGGARDS: _laggards,
    NeedKind.CLAIM: _claims,
    NeedKind.QUESTION: _questions,
    NeedKind.TRANSFER: _transfers,
    NeedKind.DECISION: _decisions,
    NeedKind.PROPOSAL: _proposals,
    NeedKind.LEAVER: _leavers,
    NeedKind.ENDING: _endings,
    NeedKind.WITHOUT_SECRET: _without_secret,
    NeedKind.WEBHOOK: _webhooks,
    NeedKind.UNUSED: _unused,
}
