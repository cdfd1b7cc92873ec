"""Take rotations on when the clock says so: begin those that are due, bring them forward, finish and abandon them."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict
from keys.lifecycle.inventory import lives
from keys.lifecycle.rotation_course import (
    abort,
    complete,
    prepare,
    prepare_again,
    refuse_if_it_cannot_rotate,
    version_of,
    working_version,
)
from keys.lifecycle.rotation_steps import hasten, move_rotation, open_rotation
from keys.lifecycle.transitions import locked_key, locked_versions
from keys.models import Rotation
from keys.operations import operation, refuse_if_log_is_behind
from keys.states import BOTH_WORK_STATES, WAITING_ROTATION_STATES, RotationCause, RotationState


@operation(grants="always")
def prepare_rotation(rotation: Rotation, *, actor: Actor) -> bool:
    """Begin a scheduled rotation whose time has come; one that cannot begin is stopped, with the reason."""
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    if found is None or found.pk != rotation.pk or found.state != RotationState.SCHEDULED or found.due_at > at:
        return False
    try:
        refuse_if_it_cannot_rotate(key, versions, at=at)
        working = working_version(versions, at=at)
        if working is not None and working.expires_at is not None and working.expires_at >= key.authorised_until:
            raise Conflict("authorisation_ends_first")  # shortened since: what helps is a renewal
    except Conflict as conflict:
        move_rotation(found, RotationState.ABORTED, actor=actor, at=at, reason=conflict.code.replace("_", "-"))
        return True
    prepare(found, versions, actor=actor, at=at)
    return True


@operation(grants="always")
def hasten_rotation(rotation: Rotation, *, actor: Actor) -> bool:
    """Bring a rotation forward to when the secret is as old as the policy in force now lets any become."""
    key = locked_key(rotation.managed_key)
    found = open_rotation(key)
    at = clock.now()
    if found is None or found.pk != rotation.pk:
        return False
    overdue = Rotation.objects.beyond_policy().filter(pk=found.pk)
    late = overdue.values_list("latest", flat=True).first()  # type: ignore[misc]  # the query set adds that column
    if late is None:
        return False
    hasten(found, due_at=late, cause=RotationCause.POLICY, actor=actor, at=at)
    return True


@operation
def finish_rotation(rotation: Rotation, *, actor: Actor) -> bool:
    """Write down that the old version has ended by its time, and give the key its next rotation."""
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    if found is None or found.pk != rotation.pk or found.state not in BOTH_WORK_STATES:
        return False
    old = version_of(versions, found.old_version_id)
    if old is not None and lives(old, at=at):
        return False
    complete(found, actor=actor, at=at)
    return True


@operation(grants="sometimes")
def abandon_rotation(rotation: Rotation, *, actor: Actor) -> bool:
    """Stop a rotation whose new secret nobody took in time; one whose client fetched it and never said so begins again."""
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    if found is None or found.pk != rotation.pk or found.state not in WAITING_ROTATION_STATES:
        return False
    new = version_of(versions, found.new_version_id)
    if new is not None and lives(new, at=at):
        return False
    if found.state == RotationState.HANDED_OVER and working_version(versions, at=at) is not None:
        try:
            refuse_if_it_cannot_rotate(key, versions, at=at)
        except Conflict as conflict:
            abort(found, versions, actor=actor, at=at, reason=conflict.code.replace("_", "-"))
            return True
        refuse_if_log_is_behind()
        prepare_again(found, versions, actor=actor, at=at)
        return True
    abort(found, versions, actor=actor, at=at, reason="claim-lapsed")
    return True
