"""List what can happen to the keeping of the log: holds, periods, and the erasure of personal data."""

from __future__ import annotations

from audit.events import Event, Severity
from keys.events.factors import FACTOR_RESET, PASSKEY, TOTP_DEVICE
from keys.events.keys import TRANSFER
from keys.events.people import PERSON
from keys.events.requests import APPROVAL, REQUEST

HOLD = frozenset("id from_leaf upto_leaf reason placed_at placed_by lifted_at lifted_by".split())
RETENTION = frozenset("id keep_days private_days reason proposed_at proposed_by decided_at decided_by outcome".split())


class HoldPlaced(Event):
    """A range of the log was held: nothing in it is pruned or loses its private part."""

    action = "hold.placed"
    target_type = "hold"
    severity = Severity.MEDIUM
    ocsf_class = "Datastore Activity"
    needs_mfa = True
    change_fields = HOLD


class HoldLifted(Event):
    """A hold ended; what keeps the range now is the period alone."""

    action = "hold.lifted"
    target_type = "hold"
    severity = Severity.HIGH
    ocsf_class = "Datastore Activity"
    needs_mfa = True
    change_fields = HOLD


class RetentionProposed(Event):
    """Shorter periods were proposed; nothing changes until a second administrator accepts."""

    action = "retention.proposed"
    target_type = "retention"
    severity = Severity.MEDIUM
    ocsf_class = "Datastore Activity"
    needs_mfa = True
    change_fields = RETENTION
    keep_days_before: int | None
    private_days_before: int | None


class RetentionSet(Event):
    """Other periods are in force: how long the log keeps events and their private parts."""

    action = "retention.set"
    target_type = "retention"
    severity = Severity.HIGH
    ocsf_class = "Datastore Activity"
    needs_mfa = True
    change_fields = RETENTION
    keep_days_before: int | None
    private_days_before: int | None


class RetentionRefused(Event):
    """Shorter periods were refused, or taken back."""

    action = "retention.refused"
    target_type = "retention"
    ocsf_class = "Datastore Activity"
    change_fields = RETENTION


class PersonErased(Event):
    """Name and address of a person who has left were replaced; pii.erased of the same moment names the events."""

    action = "person.erased"
    target_type = "person"
    severity = Severity.MEDIUM
    ocsf_class = "Account Change"
    change_fields = PERSON
    needs_reason = True


class TotpErased(Event):
    """The name of an erased person's authenticator was replaced."""

    action = "totp.erased"
    target_type = "totp-device"
    ocsf_class = "Account Change"
    change_fields = TOTP_DEVICE


class PasskeyErased(Event):
    """The name of an erased person's passkey was replaced."""

    action = "passkey.erased"
    target_type = "passkey"
    ocsf_class = "Account Change"
    change_fields = PASSKEY


class FactorResetErased(Event):
    """The reason for a reset of an erased person's factors was replaced."""

    action = "factor-reset.erased"
    target_type = "factor-reset"
    ocsf_class = "Account Change"
    change_fields = FACTOR_RESET


class RequestTextErased(Event):
    """Texts of a request that named an erased person were replaced."""

    action = "request.text-erased"
    target_type = "request"
    change_fields = REQUEST


class ApprovalTextErased(Event):
    """A comment that named an erased person was replaced."""

    action = "approval.text-erased"
    target_type = "approval"
    change_fields = APPROVAL


class TransferTextErased(Event):
    """A comment that named an erased person was replaced."""

    action = "transfer.text-erased"
    target_type = "transfer"
    change_fields = TRANSFER
