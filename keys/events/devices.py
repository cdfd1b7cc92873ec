"""List what happens when a device is signed in (RFC 8628). No code, token or hash is ever in an event."""

from __future__ import annotations

from audit.events import Event, Outcome, Severity, private


class DeviceSignInBegun(Event):
    """A machine asked to be signed in by a person in a browser. Nobody has said who it is."""

    action = "device-sign-in.begun"
    target_type = "device-sign-in"
    ocsf_class = "Authentication"
    name: str = private(default="")


class DeviceCodeEntered(Event):
    """A signed-in person typed the code that a machine shows; from then on only they can answer it."""

    action = "device-sign-in.code-entered"
    target_type = "device-sign-in"
    ocsf_class = "Authentication"
    needs_mfa = True
    person: str


class DeviceCodeRefused(Event):
    """A signed-in person typed a code that no waiting machine shows, or too many of them: then the page closes for half an hour."""

    action = "device-sign-in.code-refused"
    target_type = "person"
    severity = Severity.LOW
    ocsf_class = "Authentication"
    needs_reason = True
    outcome: Outcome = Outcome.FAILURE


class DeviceAllowed(Event):
    """A person allowed, with presence for exactly this machine, that it acts as them for some hours."""

    action = "device-sign-in.allowed"
    target_type = "device-sign-in"
    severity = Severity.LOW
    ocsf_class = "Authentication"
    needs_mfa = True
    person: str
    name: str = private(default="")


class DeviceRefused(Event):
    """A person said no to a machine."""

    action = "device-sign-in.denied"
    target_type = "device-sign-in"
    severity = Severity.LOW
    ocsf_class = "Authentication"
    needs_mfa = True
    person: str
    name: str = private(default="")


class DeviceSignInEnded(Event):
    """A sign-in that could still give a token was forgotten, with the sessions of whoever had typed its code: it gives none."""

    action = "device-sign-in.ended"
    target_type = "device-sign-in"
    ocsf_class = "Authentication"
    person: str


class DeviceSignedIn(Event):
    """The machine took its token, once; the session is in the person's list until it ends."""

    action = "device-sign-in.completed"
    target_type = "device-sign-in"
    severity = Severity.LOW
    ocsf_class = "Authentication"
    person: str
    session: str
    kid: str
    name: str = private(default="")


class DeviceCodeReused(Event):
    """A machine asked for a second token with a code that had given one: what that opened ends, and `session` names it."""

    action = "device-sign-in.reused"
    target_type = "device-sign-in"
    severity = Severity.MEDIUM
    ocsf_class = "Authentication"
    outcome: Outcome = Outcome.FAILURE
    person: str
    session: str = ""


class DeviceRowRefused(Event):
    """A row of a device does not fit its MAC, or had ended: somebody wrote to the database. It opened nothing, and it is deleted."""

    action = "device-sign-in.row-refused"
    target_type = "device-sign-in"
    severity = Severity.CRITICAL
    ocsf_class = "Authentication"
    needs_reason = True
    outcome: Outcome = Outcome.FAILURE
