"""Write anew what older keys of the keyring made: row MACs of versions, and the wrappings of sealed values.

Some rows at a time, each lot in a transaction of its own, and what is left is found by what the rows themselves name: whoever
is killed begins again and goes on where it ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import DataError, models
from django.db.models import Q

from audit import clock
from audit.actor import Actor, ActorKind
from audit.log import record
from keys.crypto.envelope import newest_wrappings
from keys.crypto.errors import CryptoError
from keys.crypto.row_mac import newest_mac
from keys.doorbell import ring_after_commit
from keys.errors import Busy, Denied
from keys.events import KeyringRewriteBegun, KeyringRewritten
from keys.models import KeyVersion, ManagedKey, TotpDevice, WebhookEndpoint
from keys.operations import operation
from keys.people import seeds
from keys.sealing import keyring, rewritten
from keys.webhooks import secrets

LOT: Final = 200  # rows that are locked together
TRIES: Final = 5  # rounds over what somebody else held
_PAUSE: Final = 0.2  # seconds before such a round
_FIRST: Final = UUID(int=0)

Told = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One kind of row: which are old, how they are locked, and what is written into a sound one (CryptoError: it is not)."""

    name: str
    model: type[models.Model]
    columns: tuple[str, ...]
    old: Q
    locked: Callable[[list[UUID]], Iterable[Any]]
    renewed: Callable[[Any], Mapping[str, str]]


@dataclass
class _Course:
    """How far one kind has come."""

    written: int = 0
    left: int = 0  # not what an operation wrote, or sealed by a key that is gone
    held: int = 0  # somebody else had them each time


def rewrite(*, actor: Actor, told: Told) -> Mapping[str, _Course]:
    """Write everything old anew and tell how far it is, by kind. Two at once do no harm: each row is written under its lock."""
    _begin(actor=actor)
    done = {kind.name: _rewrite_kind(kind, actor=actor, told=partial(told, kind.name)) for kind in _kinds()}
    _end(done, actor=actor)
    return done


def _kinds() -> tuple[_Kind, ...]:
    stale = partial(_stale, newest_wrappings(keyring()))
    unsound_mac = ~Q(row_mac__startswith=newest_mac(keyring()))
    return (
        _Kind(
            name="versions",
            model=KeyVersion,
            columns=("row_mac", "sealed_secret"),
            old=unsound_mac | stale("sealed_secret"),
            locked=_locked_versions,
            renewed=rewritten,
        ),
        _Kind(
            name="seeds",
            model=TotpDevice,
            columns=("sealed_seed",),
            old=stale("sealed_seed"),
            locked=partial(_locked, TotpDevice),
            renewed=seeds.rewritten,
        ),
        _Kind(
            name="webhooks",
            model=WebhookEndpoint,
            columns=("sealed_secret", "previous_secret"),
            old=stale("sealed_secret") | stale("previous_secret"),
            locked=partial(_locked, WebhookEndpoint),
            renewed=secrets.rewritten,
        ),
    )


def _stale(newest: Iterable[str], column: str) -> Q:
    is_newest = Q(**{column: ""})
    for prefix in newest:
        is_newest |= Q(**{f"{column}__startswith": prefix})
    return ~is_newest


def _rewrite_kind(kind: _Kind, *, actor: Actor, told: Callable[[int], None]) -> _Course:
    course = _Course()
    for _ in range(TRIES):
        course.left = course.held = 0
        after = _FIRST
        while lot := _lot(kind, after):
            began = time.monotonic()
            _write_some(kind, lot, course, actor=actor)
            told(course.written)
            after = lot[-1]
            # As long as it took: verifiers read each lot again, and a revocation must not wait behind a million rows.
            time.sleep(time.monotonic() - began)
        if not course.held:
            break
        time.sleep(_PAUSE)
    return course


def _lot(kind: _Kind, after: UUID) -> list[UUID]:
    rows = kind.model._default_manager.filter(kind.old, pk__gt=after).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:LOT])


def _write_some(kind: _Kind, lot: list[UUID], course: _Course, *, actor: Actor) -> None:
    """Halve what cannot be read until the row is alone: a time that no program can write must not keep the others as they are."""
    written = left = 0
    try:
        written, left = _write(kind, lot, actor=actor)
    except Busy:  # the table itself is held, say while an index is built
        pass
    except DataError:
        if len(lot) == 1:
            course.left += 1
            return
        half = len(lot) // 2
        _write_some(kind, lot[:half], course, actor=actor)
        _write_some(kind, lot[half:], course, actor=actor)
        return
    course.written += written
    course.left += left
    course.held += len(lot) - written - left


@operation
def _write(kind: _Kind, lot: list[UUID], *, actor: Actor) -> tuple[int, int]:
    """Write the rows of a lot that nobody else holds; returns how many, and how many are unsound."""
    sound, left = [], 0
    for row in kind.locked(lot):
        try:
            columns = kind.renewed(row)
        except CryptoError:
            left += 1
            continue
        for name, value in columns.items():
            setattr(row, name, value)
        sound.append(row)
    kind.model._default_manager.bulk_update(sound, kind.columns)
    ring_after_commit()
    return len(sound), left


def _locked(model: type[models.Model], lot: list[UUID]) -> Iterable[models.Model]:
    rows = model._default_manager.filter(pk__in=lot).order_by("pk")
    return list(rows.select_for_update(of=("self",), no_key=True, skip_locked=True))


def _locked_versions(lot: list[UUID]) -> Iterable[KeyVersion]:
    """Their keys first, as everywhere (keys.lifecycle.transitions)."""
    keys = ManagedKey.objects.select_related("environment", "service").filter(versions__pk__in=lot).order_by("pk")
    locked = {key.pk: key for key in keys.select_for_update(of=("self",), no_key=True, skip_locked=True)}
    rows = KeyVersion.objects.filter(pk__in=lot, managed_key__in=locked).order_by("pk")
    versions = list(rows.select_for_update(of=("self",), no_key=True, skip_locked=True))
    for version in versions:
        version.managed_key = locked[version.managed_key_id]
    return versions


@operation
def _begin(*, actor: Actor) -> None:
    if actor.kind != ActorKind.OPERATOR:
        raise Denied("shell_only", rule="keyring.shell")
    record(KeyringRewriteBegun(target_id="rows"), actor=actor, at=clock.now())


@operation
def _end(done: Mapping[str, _Course], *, actor: Actor) -> None:
    event = KeyringRewritten(
        target_id="rows",
        versions=done["versions"].written,
        seeds=done["seeds"].written,
        webhooks=done["webhooks"].written,
        left=sum(course.left for course in done.values()),
        held=sum(course.held for course in done.values()),
    )
    record(event, actor=actor, at=clock.now())
