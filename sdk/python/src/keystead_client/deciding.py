"""Say why a version that is held may not do what is asked, and what is said of one that may: for keys that are shown and keys that sign."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from keystead_client.brownouts import is_browned_out
from keystead_client.snapshots import Entry
from keystead_client.verdicts import Client, Reason, Verdict


def why_not(entry: Entry, at: int, scopes: Sequence[str], client: Client) -> Reason | None:
    """The first reason that holds, as Keystead's own verifier orders them."""
    if at >= entry.ends_at:
        return Reason.RETIRED if entry.retires else Reason.EXPIRED
    if entry.warned is not None and is_browned_out(at, ends_at=entry.ends_at, both_since=entry.warned):
        return Reason.ROTATE_NOW
    policy = entry.policy
    if scopes and not policy.signed_scopes.isdisjoint(scopes):
        return Reason.SIGNATURE_REQUIRED
    if policy.networks is not None and not policy.networks.allow(client.address):
        return Reason.NETWORK
    if scopes and not policy.scopes.issuperset(scopes):
        return Reason.SCOPE
    return None


def accepted(entry: Entry) -> Verdict:
    """What is said of a version whose key is valid; the same each time, so it is kept."""
    policy = entry.policy
    return Verdict(
        valid=True,
        kid=entry.kid,
        service=policy.service,
        environment=policy.environment,
        scopes=policy.scopes,
        owner_team=policy.owner_team,
        expires_at=datetime.fromtimestamp(entry.ends_at / 1000, UTC),
    )
