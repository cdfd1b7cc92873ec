"""List what can happen when many keys are stopped or replaced by one act."""

from __future__ import annotations

from collections.abc import Mapping

from audit.events import Event, Severity


class EmergencyExecuted(Event):
    """Many keys were stopped, or their secrets set to be replaced, by one act; each has an event of its own as well.

    `digest` is that of the list that was confirmed; all events of the act carry its id as correlation.
    """

    action = "emergency.executed"
    target_type = "emergency"
    severity = Severity.CRITICAL
    needs_reason = True
    measure: str
    searched: Mapping[str, str]
    digest: str
    listed: int
    stopped: int
    rotating: int
    already_ended: int
    not_rotated: int
    appeared: int


class KeyPassedOver(Event):
    """A key of an emergency was left as it was; the reason says why."""

    action = "key.passed-over"
    target_type = "key"
    severity = Severity.MEDIUM
    needs_reason = True
