"""List what happens to those who read the log and react to it."""

from __future__ import annotations

from audit.events import Event, Severity, private


class ReaderMoved(Event):
    """A reader of the log was sent back, and reacts again to what comes after that leaf."""

    action = "reader.moved"
    target_type = "reader"
    severity = Severity.MEDIUM
    ocsf_class = "Application Lifecycle"
    from_leaf: int
    to_leaf: int
    comment: str = private(default="")


class IntentUnfinished(Event):
    """Something was about to be done, and after five minutes nobody said what came of it: look whether it was done."""

    action = "intent.unfinished"
    target_type = "event"
    severity = Severity.HIGH
    intended: str
    subject_type: str
    subject: str
