"""List how sessions end. What is told here opens nothing any more, whatever stands in the table of sessions."""

from __future__ import annotations

from audit.events import Event, Outcome, Severity


class SessionEnded(Event):
    """A session ended: signed out, ended by its person, or with all of theirs; its key or token opens nothing from then on."""

    action = "session.ended"
    target_type = "session"
    ocsf_class = "Authentication"
    needs_reason = True
    person: str


class SessionRefused(Event):
    """A session that had ended was in its table again: somebody wrote to the database. It opened nothing, and it is deleted."""

    action = "session.refused"
    target_type = "session"
    severity = Severity.CRITICAL
    ocsf_class = "Authentication"
    needs_reason = True
    outcome: Outcome = Outcome.FAILURE
    person: str
