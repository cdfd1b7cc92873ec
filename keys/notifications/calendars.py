"""List what happens to keys by the clock, as entries of a calendar: replacements, and ends. Names only; no secret, no person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db.models import Max, Q, QuerySet
from django.utils.translation import gettext as _

from audit.actor import Actor, ActorKind
from audit.models import AuditEvent
from keys.lifecycle.inventory import end_of_version
from keys.models import CalendarFeed, KeyVersion, ManagedKey, Rotation, Team
from keys.models.reach import reach_of
from keys.notifications.ics import Entry
from keys.notifications.words import PATHS
from keys.states import WAITING_ROTATION_STATES, RotationState, VersionState

MOST_KEYS: Final = 2000
# What ended is still looked for in a calendar for a while.
KEPT: Final = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class _Instant:
    """What becomes an entry, with the rows on which its time depends."""

    kind: str
    row: ManagedKey | KeyVersion | Rotation
    key: ManagedKey
    at: datetime
    summary: str
    rests_on: tuple[UUID, ...]


def keys_of(actor: Actor, *, team: Team | None = None) -> QuerySet[ManagedKey]:
    """The keys in a person's calendar: of their teams and received by them, or those of one team."""
    keys = ManagedKey.objects.visible_to(actor)
    if team is not None:
        return keys.filter(owner_team=team)
    reach = reach_of(actor)
    return keys.filter(Q(owner_team_id__in=reach.team_ids) | Q(recipient_id=reach.person_id))


def reader_of(feed: CalendarFeed) -> Actor:
    """Whoever made a feed, without a session: they see what they may see now, and do nothing."""
    return Actor(kind=ActorKind.PERSON, id=str(feed.person_id))


def entries_of(keys: QuerySet[ManagedKey], *, at: datetime) -> list[Entry]:
    """The entries of these keys, earliest first."""
    related = keys.filter(revoked_at=None, authorised_until__gt=at - KEPT)
    rows = list(related.select_related("service", "environment", "owner_team").order_by("number")[:MOST_KEYS])
    by_id = {key.pk: key for key in rows}
    instants = [*_ends_of_keys(rows), *_rotations(by_id), *_ends_of_secrets(by_id, at=at)]
    changed = _changes([pk for each in instants for pk in each.rests_on])
    entries = [_entry(each, changed) for each in instants]
    return sorted(entries, key=lambda entry: (entry.at, entry.uid))


def _ends_of_keys(rows: list[ManagedKey]) -> list[_Instant]:
    return [
        _Instant(
            kind="key",
            row=key,
            key=key,
            at=key.authorised_until,
            summary=_("{name} ends").format(name=key.name),
            rests_on=(key.pk,),
        )
        for key in rows
    ]


def _rotations(keys: Mapping[UUID, ManagedKey]) -> list[_Instant]:
    found = []
    stopped = KeyVersion.objects.stopped_on_purpose().filter(managed_key__in=keys)
    stopped_keys = set(stopped.values_list("managed_key", flat=True))
    rows = Rotation.objects.open().filter(managed_key__in=keys).select_related("old_version", "new_version")
    for rotation in rows:
        name, old, new = keys[rotation.managed_key_id].name, rotation.old_version, rotation.new_version
        ends_at = end_of_version(old) if old is not None else None
        at: datetime | None
        if rotation.state == RotationState.SCHEDULED:
            at, summary = rotation.due_at, _("{name} gets its next secret").format(name=name)
        elif rotation.state in WAITING_ROTATION_STATES:
            times = [each for each in (ends_at, new.claim_until if new is not None else None) if each is not None]
            at, summary = min(times, default=None), _("{name}: last moment for its next secret").format(name=name)
        else:
            at, summary = ends_at, _("{name}: the old secret ends").format(name=name)
        if rotation.managed_key_id in stopped_keys and rotation.state in (
            RotationState.SCHEDULED,
            *WAITING_ROTATION_STATES,
        ):
            summary = _("{name} is suspended: no next secret").format(name=name)
        if at is not None:
            versions = [each.pk for each in (old, new) if each is not None]
            found.append(
                _Instant(
                    kind="rotation",
                    row=rotation,
                    key=keys[rotation.managed_key_id],
                    at=at,
                    summary=summary,
                    rests_on=(rotation.pk, *versions),
                )
            )
    return found


def _ends_of_secrets(keys: Mapping[UUID, ManagedKey], *, at: datetime) -> list[_Instant]:
    """Secrets that end before their key does and that nothing replaces: where something does, that is the entry."""
    replaced = Rotation.objects.open().filter(managed_key__in=keys).values("managed_key")
    working = KeyVersion.objects.living(at).filter(state=VersionState.ACTIVE, managed_key__in=keys)
    found = []
    for version in working.exclude(managed_key__in=replaced):
        key, ends_at = keys[version.managed_key_id], end_of_version(version)
        if ends_at is not None and ends_at < key.authorised_until:
            summary = _("{name}: its secret ends").format(name=key.name)
            found.append(
                _Instant(kind="version", row=version, key=key, at=ends_at, summary=summary, rests_on=(version.pk,))
            )
    return found


def _changes(ids: list[UUID]) -> dict[str, datetime]:
    """When the log last told of each row, as far back as it reaches."""
    told = AuditEvent.objects.filter(
        target_type__in=("key", "rotation", "version"), target_id__in={str(pk) for pk in ids}
    )
    return dict(told.order_by().values_list("target_id").annotate(Max("occurred_at")))


def _entry(instant: _Instant, changed: Mapping[str, datetime]) -> Entry:
    key = instant.key
    born_at = instant.row.created_at
    path = PATHS["rotation" if instant.kind == "rotation" else "key"].format(number=key.number)
    return Entry(
        uid=f"{instant.kind}-{instant.row.pk}@{urlsplit(settings.KEYSTEAD_PUBLIC_URL).hostname or 'keystead'}",
        at=instant.at,
        summary=instant.summary,
        description=f"{key} · {key.service.name} · {key.environment.name} · {key.owner_team.name}",
        url=f"{settings.KEYSTEAD_PUBLIC_URL}{path}",
        born_at=born_at,
        changed_at=max([born_at, *(changed[str(pk)] for pk in instant.rests_on if str(pk) in changed)]),
    )
