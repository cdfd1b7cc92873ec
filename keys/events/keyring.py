"""List what can happen to the keyring: which keys it holds, and what was written anew under the newest."""

from __future__ import annotations

from audit.events import Event, Severity


class KeyringKeyAdded(Event):
    """The keyring got a next key for a purpose, which reads and does not write yet."""

    action = "keyring.key-added"
    target_type = "keyring"
    severity = Severity.MEDIUM

    key: str


class KeyringKeyPromoted(Event):
    """From now on a key of the keyring makes what is newly written for a purpose."""

    action = "keyring.key-promoted"
    target_type = "keyring"
    severity = Severity.MEDIUM

    key: str
    before: str


class KeyringKeyForgotten(Event):
    """An old key left the keyring; what only it had made, so many rows, is lost."""

    action = "keyring.key-forgotten"
    target_type = "keyring"
    severity = Severity.HIGH

    key: str
    rows: int


class KeyringRewriteBegun(Event):
    """Rows that older keys of the keyring made are being written anew under the newest."""

    action = "keyring.rewrite-begun"
    target_type = "keyring"
    severity = Severity.MEDIUM


class KeyringRewritten(Event):
    """So many rows were written anew; those that are not what an operation wrote were left as they are, for they are evidence."""

    action = "keyring.rewritten"
    target_type = "keyring"
    severity = Severity.MEDIUM

    versions: int
    seeds: int
    webhooks: int
    left: int
    held: int
