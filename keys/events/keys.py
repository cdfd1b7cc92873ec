"""List what can happen to keys, their versions and their passing on."""

from __future__ import annotations

from audit.events import Event, Severity, private

KEY = frozenset(
    "id created_at number name owner_team_id recipient_id consumer service_id environment_id policy_id "
    "request_id origin kind public_key scopes networks limits rotation self_fetch cryptoperiod_days authorised_until "
    "verifies_service_id verifies_environment_id revoked_at revoked_reason revoked_by".split()
)
VERSION = frozenset(
    "id created_at managed_key_id sequence kid state digest_algorithm public_key last4 claim_until claimed_at "
    "claimed_by_id activated_at expires_at retire_at suspended_at suspended_reason suspended_by ended_at "
    "ended_reason".split()
)
TRANSFER = frozenset(
    "id created_at managed_key_id from_team_id to_team_id offered_by_id decided_by_id decided_at outcome "
    "comment lapses_at".split()
)


class KeyCreated(Event):
    """A key came into being."""

    action = "key.created"
    target_type = "key"
    severity = Severity.LOW
    change_fields = KEY


class KeyRenewed(Event):
    """An approved request moved the end of a key's authorisation."""

    action = "key.renewed"
    target_type = "key"
    severity = Severity.LOW
    change_fields = KEY


class KeyShortened(Event):
    """A key's authorisation was cut short."""

    action = "key.shortened"
    target_type = "key"
    severity = Severity.LOW
    change_fields = KEY


class KeyRevoked(Event):
    """A key was ended before its time; nothing of it verifies again."""

    action = "key.revoked"
    target_type = "key"
    severity = Severity.MEDIUM
    change_fields = KEY
    needs_reason = True


class KeyHandedOver(Event):
    """A key passed to another team."""

    action = "key.handed-over"
    target_type = "key"
    severity = Severity.LOW
    change_fields = KEY


class KeyRecipientChanged(Event):
    """Another member of the owner team receives a key's next secrets."""

    action = "key.recipient-changed"
    target_type = "key"
    severity = Severity.LOW
    change_fields = KEY


class KeyLeakReported(Event):
    """Someone said that a key leaked."""

    action = "key.leak-reported"
    target_type = "key"
    severity = Severity.CRITICAL
    change_fields = KEY
    comment: str = private(default="")


class VersionCreated(Event):
    """A version waits for its secret to be claimed."""

    action = "version.created"
    target_type = "version"
    change_fields = VERSION


class ClaimIntended(Event):
    """Somebody who may is about to be handed a secret; it is minted only when this event is sealed."""

    action = "version.claim-intended"
    target_type = "version"
    severity = Severity.LOW


class ClaimFailed(Event):
    """An intended claim came to nothing: no secret was minted, and the claim is not spent."""

    action = "version.claim-failed"
    target_type = "version"
    severity = Severity.LOW
    needs_reason = True


class VersionIssued(Event):
    """A secret was handed over, once: to its recipient, or to the client that fetched it."""

    action = "version.issued"
    target_type = "version"
    severity = Severity.LOW
    change_fields = VERSION


class VersionActivated(Event):
    """The client that fetched a secret itself showed that it has it; from now on it verifies."""

    action = "version.activated"
    target_type = "version"
    severity = Severity.LOW
    change_fields = VERSION


class ClaimRepeated(Event):
    """The same session asked for a secret again within a minute and got none."""

    action = "version.claim-repeated"
    target_type = "version"
    change_fields = VERSION


class VersionSuspended(Event):
    """A version was suspended."""

    action = "version.suspended"
    target_type = "version"
    severity = Severity.MEDIUM
    change_fields = VERSION
    needs_reason = True


class VersionReinstated(Event):
    """A suspended version works again."""

    action = "version.reinstated"
    target_type = "version"
    severity = Severity.LOW
    change_fields = VERSION


class VersionShortened(Event):
    """A version will end earlier."""

    action = "version.shortened"
    target_type = "version"
    change_fields = VERSION


class VersionRetirementSet(Event):
    """A version will retire on a date because a newer one was claimed."""

    action = "version.retirement-set"
    target_type = "version"
    change_fields = VERSION


class VersionRetirementLifted(Event):
    """A version lives on: the rotation that was to end it was undone."""

    action = "version.retirement-lifted"
    target_type = "version"
    severity = Severity.MEDIUM
    change_fields = VERSION


class VersionDeactivated(Event):
    """A version ended."""

    action = "version.deactivated"
    target_type = "version"
    change_fields = VERSION
    needs_reason = True


class VersionCompromised(Event):
    """A version ended because its secret is known to others."""

    action = "version.compromised"
    target_type = "version"
    severity = Severity.CRITICAL
    change_fields = VERSION
    needs_reason = True


class VersionDestroyed(Event):
    """What was left of an ended version was destroyed."""

    action = "version.destroyed"
    target_type = "version"
    change_fields = VERSION


class IntegrityFailed(Event):
    """A version's row does not match its row MAC: it was changed behind the operations' back."""

    action = "version.integrity-failed"
    target_type = "version"
    severity = Severity.CRITICAL
    change_fields = VERSION


class TransferOffered(Event):
    """A team offered a key to another."""

    action = "transfer.offered"
    target_type = "transfer"
    change_fields = TRANSFER


class TransferDecided(Event):
    """The other team answered, or the offer was taken back."""

    action = "transfer.decided"
    target_type = "transfer"
    change_fields = TRANSFER
