"""Change the keyring file a step at a time, on record: a next key, the next primary, an old key forgotten.

NIST SP 800-57 Part 1, sections 5.3 and 8.3: a key makes new writes for a while, reads for longer, and is destroyed. What a step
does is recorded before the file is replaced: the log may tell of a step that a crash kept from the file, never the reverse.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models.functions import Now

from audit import clock
from audit.actor import Actor, ActorKind
from audit.events import Event
from audit.log import record_many
from keys.crypto.errors import KeyringUnusable, UnknownKey
from keys.crypto.keyring import LOCAL_KEKS, PURPOSES, UNFINISHED, Keyring
from keys.errors import Conflict, Denied
from keys.events import KeyringKeyAdded, KeyringKeyForgotten, KeyringKeyPromoted
from keys.models import Verifier
from keys.operations import operation
from keys.rekeying.naming import rows_by_key

__all__ = ["PURPOSES", "add_keys", "forget_key", "promote_keys", "read_ring"]

# As long as a lease lasts at most: who was killed counts as running for a minute, and who lives tells so every second.
SILENT_FOR: Final = timedelta(minutes=1)


def add_keys(purposes: Sequence[str], *, actor: Actor) -> list[str]:
    """Add a next key for each purpose and return their ids. Every process has to read the file again before the next step."""
    with _only_writer() as path:
        ring = read_ring()
        for purpose in purposes:
            if purpose.startswith("kek-") and ring.keks_path != LOCAL_KEKS:
                raise Conflict("keks_are_elsewhere")
            if ring.waiting(purpose) is not None:
                raise Conflict("keyring_key_waits", purpose=purpose)
            ring = ring.with_waiting(purpose, at=clock.now())
        added = {purpose: key.id for purpose in purposes if (key := ring.waiting(purpose))}
        _put_on_record([KeyringKeyAdded(target_id=purpose, key=key) for purpose, key in added.items()], actor=actor)
        _save(ring, path)
    return list(added.values())


def promote_keys(purposes: Sequence[str], *, actor: Actor) -> list[str]:
    """Let the keys that wait make new writes; Conflict while a door runs that does not hold them."""
    with _only_writer() as path:
        ring = read_ring()
        events = list[Event]()
        for purpose in purposes:
            waiting, before = ring.waiting(purpose), ring.primary(purpose)
            if waiting is None:
                raise Conflict("keyring_nothing_waits", purpose=purpose)
            if names := ", ".join(sorted(set(_doors_without(waiting.id)))):
                raise Conflict("keyring_read_before", names=names)
            events.append(KeyringKeyPromoted(target_id=purpose, key=waiting.id, before=before.id))
            ring = ring.promoted(purpose)
        _put_on_record(events, actor=actor)
        _save(ring, path)
    return [ring.primary(purpose).id for purpose in purposes]


def _doors_without(key_id: str) -> Iterable[str]:
    """The names of the doors that run and cannot read what a key makes. Not every door has a lease: some environments want none."""
    running = Verifier.objects.filter(credential=None, stopped_at=None, renewed_at__gt=Now() - SILENT_FOR)
    return running.exclude(reads__contains=[key_id]).values_list("name", flat=True)


def forget_key(purpose: str, key_id: str, *, actor: Actor, even_so: bool = False) -> int:
    """Take an old key out of the file and return how many rows it made; Conflict while there are any, unless `even_so`."""
    with _only_writer() as path:
        ring = read_ring()
        if key_id == ring.primary(purpose).id:
            raise Conflict("keyring_primary_stays")
        try:
            ring = ring.without(purpose, key_id)
        except UnknownKey:
            raise Conflict("keyring_no_such_key") from None
        rows = rows_by_key()[key_id]
        if rows and not even_so:
            raise Conflict("keyring_key_needed", rows=rows)
        _put_on_record([KeyringKeyForgotten(target_id=purpose, key=key_id, rows=rows)], actor=actor)
        _save(ring, path)
    return rows


def read_ring() -> Keyring:
    """The keyring as it is in the file now, which this process may have read before."""
    try:
        return Keyring.load(Path(settings.KEYSTEAD_KEYRING_FILE), keks=settings.KEYSTEAD_KEKS)
    except KeyringUnusable as error:
        raise Conflict("keyring_unusable", error=str(error)) from error


def _save(ring: Keyring, path: Path) -> None:
    try:
        ring.save(path)
    except OSError as error:  # a full disk, or a file that is mounted by itself
        raise Conflict("keyring_not_replaced", error=error.strerror) from error


@contextmanager
def _only_writer() -> Iterator[Path]:
    """Hold off whoever else changes the file. Its folder is locked, for the file itself is replaced; a link to it is not."""
    path = Path(settings.KEYSTEAD_KEYRING_FILE).resolve()
    if not os.access(path.parent, os.W_OK):
        raise Conflict("keyring_read_only")
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        for left in path.parent.glob(
            f"{UNFINISHED}*"
        ):  # by who was killed: keys would live on there that are forgotten here
            left.unlink()
        yield path
    finally:
        os.close(folder)


@operation
def _put_on_record(events: Sequence[Event], *, actor: Actor) -> None:
    if actor.kind != ActorKind.OPERATOR:
        raise Denied("shell_only", rule="keyring.shell")
    record_many(events, actor=actor, at=clock.now())
