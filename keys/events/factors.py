"""List what can happen to invitations, passwords and second factors. No link, code, seed or hash is ever in an event."""

from __future__ import annotations

from audit.events import Event, Outcome, Severity

INVITATION = frozenset("id created_at person_id purpose invited_by_id expires_at accepted_at revoked_at".split())
TOTP_DEVICE = frozenset(
    "id user_id name confirmed created_at confirmed_at removed_at approves_from after_reset".split()
)
PASSKEY = frozenset(
    "id user_id name confirmed created_at removed_at approves_from after_reset credential_type "
    "credential_id public_key transports backup_eligible aaguid credential_id_sha256 discoverable".split()
)
FACTOR_RESET = frozenset(
    "id created_at person_id proposed_by_id reason lapses_at decided_by_id decided_at is_confirmed".split()
)


class InvitationCreated(Event):
    """A person may take their place, once, by a link that is made when it is shown or sent."""

    action = "invitation.created"
    target_type = "invitation"
    ocsf_class = "Account Change"
    change_fields = INVITATION
    person: str


class InvitationLinkMade(Event):
    """A link to an invitation was made; any earlier link to it is void."""

    action = "invitation.link-made"
    target_type = "invitation"
    ocsf_class = "Account Change"
    person: str


class InvitationAccepted(Event):
    """The invited person took their place and chose a password."""

    action = "invitation.accepted"
    target_type = "invitation"
    ocsf_class = "Account Change"
    change_fields = INVITATION
    person: str


class InvitationRevoked(Event):
    """An unused invitation ended."""

    action = "invitation.revoked"
    target_type = "invitation"
    ocsf_class = "Account Change"
    change_fields = INVITATION
    person: str


class RecoveryLinkOrdered(Event):
    """An operator at the server's shell ordered a link that replaces an administrator's password and factors."""

    action = "recovery.link-ordered"
    target_type = "person"
    severity = Severity.CRITICAL
    ocsf_class = "Account Change"
    needs_reason = True
    other_administrators: int


class PasswordChosen(Event):
    """A person chose a password by an invitation; all their sessions ended."""

    action = "password.chosen"
    target_type = "person"
    ocsf_class = "Account Change"


class PasswordChanged(Event):
    """A signed-in person changed their password; their other sessions ended."""

    action = "password.changed"
    target_type = "person"
    severity = Severity.LOW
    ocsf_class = "Account Change"


class PasswordRefused(Event):
    """A signed-in person gave a wrong present password; `locked` when the last one closed the door for half an hour."""

    action = "password.refused"
    target_type = "person"
    severity = Severity.MEDIUM
    ocsf_class = "Authentication"
    needs_reason = True
    outcome: Outcome = Outcome.FAILURE


class PasswordResetRequested(Event):
    """Somebody who gave a person's address asked for a new password; the link is made when the mail is sent."""

    action = "password.reset-requested"
    target_type = "person"
    severity = Severity.LOW
    ocsf_class = "Account Change"
    reset: str


class PasswordResetLinkMade(Event):
    """A link for a new password was made for the mail; any earlier link is void."""

    action = "password.reset-link-made"
    target_type = "person"
    ocsf_class = "Account Change"
    reset: str


class PasswordResetCompleted(Event):
    """A person chose a new password by a mailed link; all their sessions ended, their factors stayed."""

    action = "password.reset-completed"
    target_type = "person"
    severity = Severity.MEDIUM
    ocsf_class = "Account Change"
    reset: str


class TotpOffered(Event):
    """A seed was made and shown to its person; it proves nothing until a code confirms it."""

    action = "totp.offered"
    target_type = "totp-device"
    ocsf_class = "Account Change"
    change_fields = TOTP_DEVICE
    person: str


class TotpEnrolled(Event):
    """A person confirmed an authenticator app with its first code."""

    action = "totp.enrolled"
    target_type = "totp-device"
    severity = Severity.LOW
    ocsf_class = "Account Change"
    change_fields = TOTP_DEVICE
    person: str


class TotpRemoved(Event):
    """An authenticator app proves nothing any more; if its owner removed it, their other sessions ended."""

    action = "totp.removed"
    target_type = "totp-device"
    severity = Severity.LOW
    ocsf_class = "Account Change"
    change_fields = TOTP_DEVICE
    person: str


class TotpSeedUnreadable(Event):
    """The sealed seed of an authenticator did not open: it was changed or moved by hand, or its key is gone."""

    action = "totp.seed-unreadable"
    target_type = "totp-device"
    severity = Severity.HIGH
    ocsf_class = "Detection Finding"
    person: str


class PasskeyEnrolled(Event):
    """A person enrolled a passkey for the site `rp_id`; its public key here verifies the approvals that it signs later."""

    action = "passkey.enrolled"
    target_type = "passkey"
    severity = Severity.LOW
    ocsf_class = "Account Change"
    change_fields = PASSKEY
    person: str
    rp_id: str = ""


class PasskeyRemoved(Event):
    """A passkey proves nothing any more; if its owner removed it, their other sessions ended."""

    action = "passkey.removed"
    target_type = "passkey"
    severity = Severity.LOW
    ocsf_class = "Account Change"
    change_fields = PASSKEY
    person: str


class PasskeyCloneSuspected(Event):
    """A passkey's counter went backwards: somebody may hold a copy. The proof was refused."""

    action = "passkey.clone-suspected"
    target_type = "passkey"
    severity = Severity.HIGH
    ocsf_class = "Detection Finding"
    person: str


class RecoveryCodesMade(Event):
    """A set of recovery codes was made and shown once; older codes are void."""

    action = "recovery-codes.made"
    target_type = "person"
    severity = Severity.LOW
    ocsf_class = "Account Change"
    count: int


class RecoveryCodeUsed(Event):
    """A recovery code stood in for a second factor."""

    action = "recovery-codes.used"
    target_type = "person"
    severity = Severity.MEDIUM
    ocsf_class = "Authentication"
    left: int


class FactorResetProposed(Event):
    """An administrator proposed to take away all factors of a person."""

    action = "factor-reset.proposed"
    target_type = "factor-reset"
    severity = Severity.MEDIUM
    ocsf_class = "Account Change"
    change_fields = FACTOR_RESET
    needs_mfa = True
    person: str


class FactorResetDeclined(Event):
    """A proposal to take away somebody's factors was declined."""

    action = "factor-reset.declined"
    target_type = "factor-reset"
    ocsf_class = "Account Change"
    change_fields = FACTOR_RESET
    needs_mfa = True
    person: str


class FactorResetConfirmed(Event):
    """A second administrator confirmed: all factors of the person are gone, and the person is told."""

    action = "factor-reset.confirmed"
    target_type = "factor-reset"
    severity = Severity.HIGH
    ocsf_class = "Account Change"
    change_fields = FACTOR_RESET
    needs_mfa = True
    person: str
