"""Change the keyring file a step at a time, on record: a next key, the next primary, an old key forgotten.

NIST SP 800-57 Part 1, sections 5.3 and 8.3: a key makes new writes for a while, reads for longer, and is destroyed. What a step
does is recorded before the file is replaced: the log may tell of a step that a crash kept from the file, never the reverse.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db.models.functions import Now

from audit import clock
from audit.actor import Actor, ActorKind
from audit.events import Event
from audit.log import record_many
from keys.crypto.errors import UnknownKey
from keys.crypto.keyring import LOCAL_KEKS, PURPOSES, Keyring
from keys.errors import Conflict, Denied
from keys.events import KeyringKeyAdded, KeyringKeyForgotten, KeyringKeyPromoted
from keys.models import Verifier
from keys.operations import operation
from keys.rekeying.naming import rows_by_key

__all__ = ["PURPOSES", "add_keys", "forget_key", "promote_keys", "read_ring"]


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
        ring.save(path)
    return list(added.values())


def promote_keys(purposes: Sequence[str], *, actor: Actor) -> list[str]:
    """Let the keys that wait make new writes; Conflict while a verifier runs that has not read them."""
    with _only_writer() as path:
        ring = read_ring()
        events = list[Event]()
        for purpose in purposes:
            waiting, before = ring.waiting(purpose), ring.primary(purpose)
            if waiting is None:
                raise Conflict("keyring_nothing_waits", purpose=purpose)
            older = Verifier.objects.filter(
                credential=None, stopped_at=None, valid_until__gt=Now(), started_at__lt=waiting.created_at
            )
            if names := ", ".join(sorted(set(older.values_list("name", flat=True)))):
                raise Conflict("keyring_read_before", names=names)
            events.append(KeyringKeyPromoted(target_id=purpose, key=waiting.id, before=before.id))
            ring = ring.promoted(purpose)
        _put_on_record(events, actor=actor)
        ring.save(path)
    return [ring.primary(purpose).id for purpose in purposes]


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
        ring.save(path)
    return rows


def read_ring() -> Keyring:
    """The keyring as it is in the file now, which this process may have read before."""
    return Keyring.load(Path(settings.KEYSTEAD_KEYRING_FILE), keks=settings.KEYSTEAD_KEKS)


@contextmanager
def _only_writer() -> Iterator[Path]:
    """Hold off whoever else changes the file. Its folder is locked, for the file itself is replaced."""
    path = Path(settings.KEYSTEAD_KEYRING_FILE)
    if not os.access(path.parent, os.W_OK):
        raise Conflict("keyring_read_only")
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(folder)


@operation
def _put_on_record(events: Sequence[Event], *, actor: Actor) -> None:
    if actor.kind != ActorKind.OPERATOR:
        raise Denied("shell_only", rule="keyring.shell")
    record_many(events, actor=actor, at=clock.now())
