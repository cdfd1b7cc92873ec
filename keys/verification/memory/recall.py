"""Decide about a presented key from memory, by the same questions in the same order as keys.verification.verifier does by a row.

The plain case, a version in force and nothing else to ask, is decided by the door itself; whatever is not plain comes here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from keys.crypto.digests import digester
from keys.crypto.key_text import is_well_formed
from keys.policy.addresses import outside_networks
from keys.states import KeyKind
from keys.verification.brownouts import is_browned_out
from keys.verification.memory.snapshot import Entry, Place
from keys.verification.reasons import Reason
from keys.verification.verifier import Question

digest_of: Final = digester()


def name_of(text: str) -> bytes:
    """What memory knows a presented text by."""
    return digest_of(text.encode())


def why_unknown(text: str) -> Reason:
    """Say why memory does not know a text: what is not one of ours at all may be told to anybody, who could see it too."""
    return Reason.UNKNOWN if is_well_formed(text) else Reason.MALFORMED


def why_refused(  # noqa: PLR0911 - one condition a line, each with its reason
    entry: Entry, *, asks: Place, question: Question, at: float
) -> Reason | None:
    """Say why the version is refused at the instant `at` (seconds since the epoch), or None: it is valid."""
    grant = entry.grant
    if entry.is_forged:
        return Reason.INTEGRITY_FAILURE
    if grant.place.environment_id != asks.environment_id:
        return Reason.WRONG_ENVIRONMENT
    if grant.place is not asks:
        return Reason.WRONG_SERVICE
    refused = not_in_force(entry, at=at) or _warned(entry, at=at)
    if refused is not None:
        return refused
    if grant.kind != KeyKind.BEARER or asks.signature_required or not asks.signed_scopes.isdisjoint(question.scopes):
        return Reason.SIGNATURE_REQUIRED
    if outside_networks(grant.networks, question.client.address):
        return Reason.NETWORK
    return None if grant.free.issuperset(question.scopes) else Reason.SCOPE


def not_in_force(entry: Entry, *, at: float) -> Reason | None:
    """Why a version does not verify by its state or by the clock."""
    if entry.standing is None:
        return None if at < entry.until else Reason.EXPIRED
    return entry.standing.refusal(_instant(at))


def _warned(entry: Entry, *, at: float) -> Reason | None:
    if entry.warned_since is None or entry.standing is None:
        return None
    since = _instant(entry.warned_since)
    browned = is_browned_out(_instant(at), retire_at=entry.standing.retires, both_since=since)
    return Reason.ROTATE_NOW if browned else None


def _instant(at: float) -> datetime:
    return datetime.fromtimestamp(at, tz=UTC)
