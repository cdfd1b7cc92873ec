"""Recognise a client by a key of any service, so that it may replace that key's secret itself.

Presenting a secret here is no use of the key: it is not counted. Otherwise a client that waits for its rotation would keep
its old version from ever being idle, and one that activates the new one would end the old by "first use".
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from keys.crypto.secrets import Secret
from keys.sealing import keyring
from keys.states import KeyKind, VersionState
from keys.verification.lookup import Found, find
from keys.verification.reasons import Reason
from keys.verification.verifier import is_genuine, is_intact, kid_of, not_in_force


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A program that showed the secret of this version, which verifies or waits to be activated."""

    version_id: UUID
    key_id: UUID
    kid: str
    name: str


def recognise_holder(text: str) -> Holder | None:
    """Who presents `text`, or None: one answer for a stranger and for a secret whose time is over."""
    secret = Secret(text or "-")
    del text
    kid = kid_of(secret)
    if kid is None:
        return None
    found = find(kid)
    if not is_genuine(found, secret) or found is None or not is_intact(found, keyring()) or not _counts(found):
        return None
    return Holder(version_id=found.version_id, key_id=found.key_id, kid=found.fields.kid, name=found.name)


def _counts(found: Found) -> bool:
    if found.revoked_at is not None or found.fields.kind != KeyKind.BEARER:
        return False  # what signs is never presented itself
    refused = not_in_force(found)
    return refused is None or (refused == Reason.NOT_YET_ACTIVE and found.fields.state == VersionState.PRE_ACTIVATION)
