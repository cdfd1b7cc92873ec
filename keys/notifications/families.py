"""Say to which family a message belongs, and what somebody's choice about that family makes of it.

A kind that stands in no family cannot be chosen about: it may be an attack, or is about the account itself, and is told at once.
So is a kind that somebody forgot to put here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from keys.models import QuietChoice
from keys.states import Delivery, MessageFamily, RevocationReason, SuspensionReason, Telling

_FAMILIES: Final[Mapping[MessageFamily, frozenset[str]]] = {
    MessageFamily.NEEDS: frozenset(
        {
            "request.submitted",
            "request.edited",
            "request.nudged",
            "request.returned",
            "version.created",
            "rotation.prepared",
            "transfer.offered",
            "policy-proposal.made",
            "person.deactivated",
            "webhook.disabled",
        }
    ),
    MessageFamily.CHANGES: frozenset(
        {
            "request.narrowed",
            "request.approved",
            "request.denied",
            "request.lapsed",
            "approval.given",
            "version.suspended",
            "version.reinstated",
            "key.revoked",
            "key.shortened",
            "key.recipient-changed",
            "key.renewed",
            "rotation.activated",
            "rotation.drained",
            "rotation.aborted",
            "rotation.rolled-back",
            "transfer.decided",
            "policy-proposal.decided",
            "service.retirement-planned",
            "scope.retirement-planned",
        }
    ),
    MessageFamily.NEWS: frozenset({"rotation.completed"}),
}
_FAMILY_OF: Final = {kind: family for family, kinds in _FAMILIES.items() for kind in kinds}
# The same kinds, when the reason is one that nobody may sleep through.
ALARMING: Final = frozenset(
    {
        str(RevocationReason.KEY_COMPROMISE),
        str(SuspensionReason.SUSPECTED_LEAK),
        str(SuspensionReason.LEAK_REPORTED),
        str(SuspensionReason.SECOND_CLAIM),
        "second-token",
    }
)
# What has already stopped: nobody sleeps past the end.
PAST_THE_END: Final = frozenset({"reminder.key-ended", "reminder.version-ended", "reminder.claim-lapsed"})
# Reminders that can wait for a digest on any day: nothing stops by itself.
_NEVER_URGENT: Final = frozenset({"reminder.key-unused"})
_SENT: Final = {Telling.NOW: Delivery.NOW, Telling.DIGEST: Delivery.DIGEST, Telling.QUIET: Delivery.SILENT}


def family_of(kind: str, *, reason: str = "") -> MessageFamily | None:
    """The family of a message; None when nobody can choose not to hear of it."""
    if reason in ALARMING or kind in PAST_THE_END:
        return None
    if kind.startswith("reminder."):
        return MessageFamily.REMINDERS
    return _FAMILY_OF.get(kind)


def choices_of(people: Iterable[UUID]) -> Mapping[UUID, QuietChoice]:
    """What these people chose; who never did is not in it."""
    return {row.person_id: row for row in QuietChoice.objects.filter(person__in=list(people))}


def delivery_of(kind: str, choice: QuietChoice | None, *, reason: str = "") -> Delivery:
    """How an event's notice goes out to somebody who chose so."""
    family = family_of(kind, reason=reason)
    return Delivery.NOW if family is None else _SENT[_chosen(choice, family)]


def delivery_of_reminder(kind: str, choice: QuietChoice | None, *, days: int | None) -> Delivery:
    """How a reminder goes out; `days` before the end. What goes out at once waits until its sweep is over.

    A digest may be a day away, so on the last day it would come too late.
    """
    if family_of(kind) is None:
        return Delivery.HELD
    telling = _chosen(choice, MessageFamily.REMINDERS)
    too_late = days is not None and days <= 1 and kind not in _NEVER_URGENT
    if telling == Telling.NOW or (telling == Telling.DIGEST and too_late):
        return Delivery.HELD
    return _SENT[telling]


def _chosen(choice: QuietChoice | None, family: MessageFamily) -> Telling:
    return Telling(getattr(choice or QuietChoice(), str(family)))
