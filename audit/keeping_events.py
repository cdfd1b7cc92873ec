"""List what can happen to the keeping of the log: private parts erased or expired, ranges archived and pruned."""

from __future__ import annotations

from audit.events import Event, Severity


class PrivatePartErased(Event):
    """The private parts of the named events were deleted, because a person asked for it or a period ended."""

    action = "pii.erased"
    target_type = "person"
    severity = Severity.MEDIUM
    ocsf_class = "Account Change"
    needs_reason = True

    events: tuple[str, ...]


class PrivatePartsExpired(Event):
    """The private parts of a range of leaves were deleted, because their own period was over."""

    action = "pii.expired"
    target_type = "audit-log"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"
    needs_reason = True

    from_leaf: int
    upto_leaf: int


class LogArchived(Event):
    """A range of leaves was copied to write-once storage, read back, and found to be what the log signed."""

    action = "audit.log-archived"
    target_type = "audit-log"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"

    from_leaf: int
    upto_leaf: int
    location: str
    sha256: str
    size: int
    head: int


class LogPruned(Event):
    """Archived events before a leaf left the database; their hashes stay."""

    action = "audit.log-pruned"
    target_type = "audit-log"
    severity = Severity.MEDIUM
    ocsf_class = "Datastore Activity"
    needs_reason = True

    from_leaf: int
    upto: int
