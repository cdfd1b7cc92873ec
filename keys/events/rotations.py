"""List what can happen to the replacement of a key's secret."""

from __future__ import annotations

from audit.events import Event, Severity

ROTATION = frozenset(
    "id created_at managed_key_id state cause overlap due_at old_version_id new_version_id started_by fetch_token "
    "prepared_at handed_over_at activated_at ended_at ended_reason".split()
)


class RotationScheduled(Event):
    """The next rotation of a key has its date."""

    action = "rotation.scheduled"
    target_type = "rotation"
    change_fields = ROTATION


class RotationPrepared(Event):
    """The next version of a key waits for its secret to be handed over."""

    action = "rotation.prepared"
    target_type = "rotation"
    severity = Severity.LOW
    change_fields = ROTATION


class RotationHandedOver(Event):
    """A client fetched its next secret by itself; it does not verify before the client says that it has it."""

    action = "rotation.handed-over"
    target_type = "rotation"
    severity = Severity.LOW
    change_fields = ROTATION


class RotationActivated(Event):
    """The new version verifies beside the old one."""

    action = "rotation.activated"
    target_type = "rotation"
    severity = Severity.LOW
    change_fields = ROTATION


class RotationDrained(Event):
    """The old version has the time at which it ends."""

    action = "rotation.drained"
    target_type = "rotation"
    change_fields = ROTATION


class RotationCompleted(Event):
    """The old version has ended; only the new one verifies."""

    action = "rotation.completed"
    target_type = "rotation"
    change_fields = ROTATION


class RotationAborted(Event):
    """A rotation was stopped before its end; the reason says why."""

    action = "rotation.aborted"
    target_type = "rotation"
    severity = Severity.LOW
    change_fields = ROTATION
    needs_reason = True


class RotationContested(Event):
    """The next secret was asked for with two tokens in the name of one key: somebody else may hold the old secret."""

    action = "rotation.contested"
    target_type = "rotation"
    severity = Severity.HIGH
    change_fields = ROTATION
    needs_reason = True


class RotationRolledBack(Event):
    """A rotation was undone: the old version lives on, the new one ended."""

    action = "rotation.rolled-back"
    target_type = "rotation"
    severity = Severity.MEDIUM
    change_fields = ROTATION
    needs_reason = True
