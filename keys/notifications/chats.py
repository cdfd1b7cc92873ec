"""Say in a team's chats what concerns the team: once a chat, however many of its people are told by mail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import models

from audit import clock
from keys.dispatch.cursor import Told
from keys.models import KeyRequest, KeyTransfer, ManagedKey, Membership, Notice, WebhookEndpoint
from keys.notifications.families import family_of
from keys.notifications.reactions import WHO
from keys.notifications.words import row_about, words_for
from keys.states import EndpointForm
from keys.webhooks.chat_form import chat_body
from keys.webhooks.queue import Message, queue_messages
from keys.webhooks.reach import subject_of

Teams = frozenset[UUID]
MOST_LINES: Final = 30
# More than a few things at once are one message.
MOST_MESSAGES: Final = 5


def tell_chats(told: Told) -> int:
    """Write a message for each chat that an event concerns; again is harmless. Returns how many there are."""
    chats = _chats(since=told.occurred_at)
    if not chats or told.action not in _TEAMS or not WHO[told.action](told):
        return 0
    notice = Notice(
        kind=told.action,
        subject_type=told.target_type,
        subject_id=told.target_id,
        params={"reason": told.reason, **told.details},
        event_uid=told.uid,
    )
    teams = _teams_of(notice, reason=told.reason)
    found = [chat for chat in chats if chat.owner_team_id in teams and _wants(chat, notice, reason=told.reason)]
    if not found:
        return 0
    body = _body([notice])
    messages = [Message(endpoint=chat, uid=told.uid, kind=told.action, body=body, leaf=told.leaf) for chat in found]
    return queue_messages(messages, at=clock.now())


def remind_chats(reminders: Sequence[tuple[Notice, Iterable[UUID]]], *, at: datetime) -> int:
    """Write what a sweep reminds of, each with the teams it concerns, in the same transaction as the sweep's own rows."""
    chats = _chats(since=at) if reminders else []
    by_chat: dict[WebhookEndpoint, list[Notice]] = defaultdict(list)
    for notice, teams in reminders:
        concerned = set(teams)
        for chat in chats:
            if chat.owner_team_id in concerned and _wants(chat, notice):
                by_chat[chat].append(notice)
    messages: list[Message] = []
    for chat, notices in by_chat.items():
        for said in [notices] if len(notices) > MOST_MESSAGES else [[each] for each in notices]:
            first = said[0]
            kind = first.kind if len(said) == 1 else "digest"
            messages.append(Message(endpoint=chat, uid=first.event_uid, kind=kind, body=_body(said)))
    return queue_messages(messages, at=at)


def _chats(*, since: datetime) -> list[WebhookEndpoint]:
    return list(WebhookEndpoint.objects.enabled().filter(form=EndpointForm.CHAT, created_at__lte=since))


def _wants(chat: WebhookEndpoint, notice: Notice, *, reason: str = "") -> bool:
    family = family_of(notice.kind, reason=reason)
    return family is None or str(family) in chat.kinds


def _body(notices: Sequence[Notice]) -> str:
    first = notices[0]
    if len(notices) == 1:
        words = words_for(first)
        return chat_body(subject=words.subject, sentence=words.sentence, action=words.action, link=_address(words.path))
    words = words_for(Notice(kind="digest", subject_type="person", params={"lines": len(notices)}))
    lines = [words_for(each).subject for each in notices[:MOST_LINES]]
    if len(notices) > MOST_LINES:
        lines.append("…")
    return chat_body(subject=words.subject, sentence="", action=words.action, link=_address(words.path), lines=lines)


def _address(path: str) -> str:
    return f"{settings.KEYSTEAD_PUBLIC_URL}{path}"


def deciding_teams(row: models.Model | None) -> Teams:
    """The team whose service it is, and the group that the policy names."""
    subject = subject_of(row)
    if not isinstance(subject, KeyRequest):
        return frozenset()
    group = subject.policy.approver_team_id
    return frozenset({subject.service.owner_team_id} | ({group} if group else set()))


def owning_teams(row: models.Model | None) -> Teams:
    """The team that owns the key, or would."""
    subject = subject_of(row)
    return frozenset({subject.owner_team_id}) if subject is not None else frozenset()


def _both(row: models.Model | None) -> Teams:
    return owning_teams(row) | deciding_teams(row)


def _receiving(row: models.Model | None) -> Teams:
    return frozenset({row.to_team_id}) if isinstance(row, KeyTransfer) else frozenset()


def _offering(row: models.Model | None) -> Teams:
    return frozenset({row.from_team_id}) if isinstance(row, KeyTransfer) else frozenset()


# Whose chats an event is said in. Invitations, passwords and factors are nobody's but the person's.
_TEAMS: Final[Mapping[str, Callable[[models.Model | None], Teams]]] = {
    "request.submitted": deciding_teams,
    "request.edited": deciding_teams,
    "request.nudged": deciding_teams,
    "request.narrowed": _both,
    "request.returned": owning_teams,
    "request.approved": owning_teams,
    "request.denied": owning_teams,
    "request.lapsed": owning_teams,
    "version.created": owning_teams,
    "version.suspended": owning_teams,
    "version.reinstated": owning_teams,
    "version.claim-repeated": owning_teams,
    "version.integrity-failed": owning_teams,
    "key.leak-reported": owning_teams,
    "key.revoked": owning_teams,
    "key.shortened": owning_teams,
    "key.renewed": owning_teams,
    "rotation.prepared": owning_teams,
    "rotation.activated": owning_teams,
    "rotation.drained": owning_teams,
    "rotation.completed": owning_teams,
    "rotation.aborted": owning_teams,
    "rotation.contested": owning_teams,
    "rotation.rolled-back": owning_teams,
    "transfer.offered": _receiving,
    "transfer.decided": _offering,
    "person.deactivated": lambda _row: frozenset(),  # their memberships say it, below
}


def _teams_of(notice: Notice, *, reason: str) -> Teams:
    if notice.kind == "person.deactivated":
        return frozenset(Membership.objects.filter(person_id=notice.subject_id).values_list("team_id", flat=True))
    row = row_about(notice)
    teams = _TEAMS[notice.kind](row)
    subject = subject_of(row)
    if isinstance(subject, ManagedKey) and family_of(notice.kind, reason=reason) is None:
        return teams | {subject.service.owner_team_id}  # what may be an attack concerns both sides
    return teams
