"""Let people replace a key's secret, undo it, stop it, and move the end of the old one."""

from __future__ import annotations

from datetime import datetime, timedelta

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import VersionRetirementLifted
from keys.lifecycle.facts import key_facts, rotation_facts
from keys.lifecycle.inventory import lives
from keys.lifecycle.issuance import refuse_if_suspended
from keys.lifecycle.rotation_course import (
    BEFORE_ACTIVATION,
    abort,
    begin,
    end_version_of,
    leave,
    longest_overlap,
    prepare,
    prepare_again,
    refuse_if_it_cannot_rotate,
    retire,
    version_of,
)
from keys.lifecycle.rotation_steps import move_rotation, open_rotation, plan_of, schedule_next
from keys.lifecycle.transitions import change_version, locked_key, locked_versions
from keys.models import KeyVersion, ManagedKey, Rotation
from keys.operations import operation, refuse_if_log_is_behind
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_claim, may_override_retirement, may_rotate, may_stop_rotation
from keys.states import (
    KNOWN_TO_OTHERS,
    OVERLAP_PERIODS,
    WAITING_ROTATION_STATES,
    Overlap,
    RotationCause,
    RotationState,
    SuspensionReason,
    VersionState,
)

PAUSE = timedelta(days=1)


@operation(grants="always")
def start_rotation(
    key: ManagedKey, *, actor: Actor, overlap: Overlap | None = None, cause: RotationCause = RotationCause.DEMAND
) -> Rotation:
    """Let the next version of `key` wait for its secret to be handed over; `overlap` None is what was approved with the key."""
    key = locked_key(key)
    versions = locked_versions(key)
    rotation = open_rotation(key)
    at = clock.now()
    enforce(may_rotate(actor, standing_of(actor, at=at), key_facts(key), at=at))
    refuse_if_it_cannot_rotate(key, versions, at=at)
    if overlap is not None and OVERLAP_PERIODS.get(overlap, timedelta()) > longest_overlap(key):
        most = longest_overlap(key) // timedelta(hours=1)
        raise Invalid.field("overlap", "overlap_too_long", most=most)
    overlap = overlap or plan_of(key)[0]  # as far as the policy lets it: see go_on_after_hand_over
    if rotation is None:
        return begin(key, versions, cause=cause, overlap=overlap, actor=actor, at=at)
    if rotation.state != RotationState.SCHEDULED:
        raise Conflict("rotation_open", state=rotation.state)
    return prepare(rotation, versions, actor=actor, at=at, columns={"cause": str(cause), "overlap": str(overlap)})


@operation(grants="always")
def issue_new_version(key: ManagedKey, *, actor: Actor) -> KeyVersion:
    """Replace a secret that was lost, leaked or not claimed in time; the old one works for a while after the claim, unless suspended."""
    key = locked_key(key)
    versions = locked_versions(key)
    rotation = open_rotation(key)
    at = clock.now()
    enforce(may_claim(actor, standing_of(actor, at=at), key_facts(key), at=at))
    refuse_if_it_cannot_rotate(key, versions, at=at)
    leaked = any(each.suspended_reason == SuspensionReason.LEAK_REPORTED for each in versions if lives(each, at=at))
    cause, overlap = (RotationCause.COMPROMISE if leaked else RotationCause.LOST), plan_of(key)[0]
    if rotation is not None and rotation.state == RotationState.SCHEDULED:
        rotation = prepare(rotation, versions, actor=actor, at=at, columns={"cause": str(cause)})
    else:
        if rotation is not None:
            # What it left draining goes on draining; the one that starts now is about the newer secret.
            leave(rotation, actor=actor, at=at)
        rotation = begin(key, versions, cause=cause, overlap=overlap, actor=actor, at=at)
    assert rotation.new_version is not None
    return rotation.new_version


@operation(grants="always")
def undo_rotation(rotation: Rotation, *, actor: Actor) -> Rotation:
    """Let the old version live on and end the new one, while the old one still verifies; never back to what is known to others."""
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    enforce(may_rotate(actor, standing_of(actor, at=at), key_facts(key), at=at))
    if found is None or found.pk != rotation.pk or found.state in BEFORE_ACTIVATION:
        raise Conflict("nothing_to_undo")
    if found.cause in KNOWN_TO_OTHERS:
        raise Conflict("compromised_stays_ended")
    old, new = version_of(versions, found.old_version_id), version_of(versions, found.new_version_id)
    if old is None or new is None or old.state != VersionState.ACTIVE or not lives(old, at=at):
        raise Conflict("undo_too_late")
    change_version(old, VersionRetirementLifted, actor=actor, at=at, columns={"retire_at": None})
    end_version_of(new, reason="rolled-back", actor=actor, at=at)
    found = move_rotation(found, RotationState.ROLLED_BACK, actor=actor, at=at, reason="undone")
    schedule_next(key, old, actor=actor, at=at, not_before=at + PAUSE)
    return found


@operation
def abort_rotation(rotation: Rotation, *, actor: Actor) -> Rotation:
    """Stop a rotation before the new version verifies; the old one goes on, and the rotation comes back after a day.

    Where the old secret is known to others, those do not decide it: see the rule.
    """
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    enforce(
        may_stop_rotation(actor, standing_of(actor, at=at), key_facts(key), rotation_facts(found or rotation), at=at)
    )
    if found is None or found.pk != rotation.pk or found.state not in WAITING_ROTATION_STATES:
        raise Conflict("nothing_to_stop")
    old = version_of(versions, found.old_version_id)
    found = abort(found, versions, actor=actor, at=at, reason="stopped")
    if old is not None and lives(old, at=at):
        schedule_next(key, old, actor=actor, at=at, not_before=at + PAUSE)
    return found


@operation(grants="always")
def take_back_rotation(rotation: Rotation, *, actor: Actor) -> Rotation:
    """Let a person have the next secret instead of the client that fetched it and has not activated it; that one is dead."""
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    enforce(may_rotate(actor, standing_of(actor, at=at), key_facts(key), at=at))
    if found is None or found.pk != rotation.pk or found.state != RotationState.HANDED_OVER:
        raise Conflict("nothing_to_take_back")
    refuse_if_suspended(versions)
    return prepare_again(found, versions, actor=actor, at=at)


@operation(grants="sometimes")
def override_retirement(rotation: Rotation, *, retire_at: datetime, actor: Actor) -> Rotation:
    """Move the end of the old version, sooner or later, on record; never beyond its own expiry or the key's authorisation."""
    key = locked_key(rotation.managed_key)
    versions = locked_versions(key)
    found = open_rotation(key)
    at = clock.now()
    enforce(may_override_retirement(actor, standing_of(actor, at=at), at=at))
    old = version_of(versions, found.old_version_id) if found is not None else None
    if found is None or found.pk != rotation.pk or found.state in BEFORE_ACTIVATION or old is None:
        raise Conflict("nothing_to_retire")
    if not lives(old, at=at):
        raise Conflict("already_retired")
    wanted = max(retire_at, at)
    if old.retire_at is None or wanted > old.retire_at:
        refuse_if_log_is_behind()
    retire(old, retire_at=wanted, actor=actor, at=at)
    if found.state == RotationState.ACTIVATED:
        found = move_rotation(found, RotationState.DRAINING, actor=actor, at=at)
    return found
