"""End the old version of a rotation by what its clients do: at the first use of the new one, or when everybody has moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from audit import clock
from audit.actor import Actor
from keys.lifecycle.inventory import lives
from keys.lifecycle.rotation_course import drain, version_of
from keys.lifecycle.rotation_steps import open_rotation
from keys.lifecycle.transitions import locked_key, locked_versions
from keys.models import Rotation
from keys.monitoring.traffic import everybody_moved, new_one_was_used
from keys.operations import operation
from keys.states import Overlap, RotationState, VersionState


def ripe_by_traffic(at: datetime) -> Iterator[Rotation]:
    """Rotations whose old version nobody needs any more, as far as was counted; asked again under locks."""
    rows = Rotation.objects.waiting_for_traffic().select_related("old_version").order_by("pk")
    return (rotation for rotation in rows.iterator(chunk_size=500) if _is_ripe(rotation, at=at))


@operation
def retire_by_traffic(rotation: Rotation, *, actor: Actor) -> bool:
    """End the old version now, if the new one works and the clients have done what the overlap waits for.

    The policy's bound, which stands since the claim, only ever comes earlier by this, never later.
    """
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    if found is None or found.pk != rotation.pk or found.state != RotationState.ACTIVATED:
        return False
    old, new = version_of(versions, found.old_version_id), version_of(versions, found.new_version_id)
    if old is None or new is None or not lives(old, at=at):
        return False
    if new.state != VersionState.ACTIVE or not lives(new, at=at):
        return False  # the old one is the last that works: never in the last resort
    if old.state != VersionState.ACTIVE:
        return False  # somebody stopped it on purpose and decides what becomes of it
    if not _is_ripe(found, at=at):
        return False
    drain(found, old, retire_at=at, actor=actor, at=at)
    return True


def _is_ripe(rotation: Rotation, *, at: datetime) -> bool:
    if rotation.overlap == Overlap.FIRST_USE:
        return new_one_was_used(rotation)
    return rotation.overlap == Overlap.WHEN_IDLE and everybody_moved(rotation, at=at)
