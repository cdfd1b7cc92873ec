"""List what happens at the doors: signing in and out, being refused, stepping up."""

from __future__ import annotations

from audit.events import Event, Outcome, Severity, private


class SignedIn(Event):
    """A person gave a password and a second factor."""

    action = "sign-in.completed"
    target_type = "person"
    ocsf_class = "Authentication"
    method: str
    device: str
    assurance: str
    session: str


class SignInRefused(Event):
    """A password did not fit an address, or may not be used; whoever tried does not learn which."""

    action = "sign-in.refused"
    target_type = "person"
    severity = Severity.LOW
    ocsf_class = "Authentication"
    needs_reason = True
    outcome: Outcome = Outcome.FAILURE
    email: str = private(default="")


class SignInLocked(Event):
    """Too many wrong passwords for an address from one place: closed for half an hour."""

    action = "sign-in.locked"
    target_type = "person"
    severity = Severity.MEDIUM
    ocsf_class = "Authentication"
    outcome: Outcome = Outcome.FAILURE
    email: str = private(default="")


class SecondFactorRefused(Event):
    """After a right password the second factor was wrong, used before, or too new."""

    action = "second-factor.refused"
    target_type = "person"
    severity = Severity.LOW
    ocsf_class = "Authentication"
    needs_reason = True
    outcome: Outcome = Outcome.FAILURE
    method: str
    purpose: str


class SecondFactorLocked(Event):
    """Too many wrong second factors after right passwords: closed for half an hour. The password may be known to others."""

    action = "second-factor.locked"
    target_type = "person"
    severity = Severity.HIGH
    ocsf_class = "Authentication"
    outcome: Outcome = Outcome.FAILURE
    method: str
    purpose: str


class SteppedUp(Event):
    """A signed-in person proved their presence for one purpose."""

    action = "step-up.completed"
    target_type = "person"
    ocsf_class = "Authentication"
    needs_mfa = True
    purpose: str
    method: str
    device: str
