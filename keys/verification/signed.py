"""Decide about a signed request: its form, its time, its signature, then what is asked of every key, and last its nonce.

A stranger gets `signature_invalid` whatever it is: no such key, another key, another kind, something changed. The nonce is
spent last, so that nobody spends one of a request that is refused for something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from keys.nonces.spending import nonces
from keys.policy.addresses import outside_networks
from keys.signatures.checking import holds, is_in_future, is_too_old
from keys.signatures.profile import Fault, MalformedSignature
from keys.signatures.reading import Presented, SignedRequest, read_signed
from keys.verification.brownouts import is_browned_out
from keys.verification.lookup import Found
from keys.verification.reasons import Reason
from keys.verification.signing_keys import signing_keys
from keys.verification.standing import standing_of
from keys.verification.verifier import Question, lacks_scope


@dataclass(frozen=True, kw_only=True)
class SignedVerdict:
    """The answer: a reason to refuse, or None. `signer` is the version whose signature it truly is, also when refused."""

    reason: Reason | None
    fault: Fault | None = None
    signer: Found | None = None


def judge_signed(  # noqa: PLR0911 - one question a line, each with its reason
    request: SignedRequest,
    *,
    find: Callable[[str], Found | None],
    is_outside: Callable[[Found], Reason | None],
    question: Question,
    now: float,
    warns: bool = False,
) -> SignedVerdict:
    """Decide about `request` at `now`, seconds since the epoch; raises NonceStoreUnavailable, which is no verdict.

    `find` looks a version up by its kid, in the database or in memory under a lease; `is_outside` says why it is none of
    the caller's; `warns`: whether an old version is refused for moments before its end.
    """
    try:
        presented = read_signed(request)
    except MalformedSignature as malformed:
        return SignedVerdict(reason=Reason.SIGNATURE_MALFORMED, fault=malformed.fault)
    if is_too_old(presented, now=now):
        return SignedVerdict(reason=Reason.SIGNATURE_EXPIRED)
    if is_in_future(presented, now=now):
        return SignedVerdict(reason=Reason.SIGNATURE_IN_FUTURE)
    found = find(presented.kid)
    key, intact = (None, False) if found is None else signing_keys.of(found)
    if not holds(presented, key) or found is None:
        return SignedVerdict(reason=Reason.SIGNATURE_INVALID)
    if not intact:
        return SignedVerdict(reason=Reason.INTEGRITY_FAILURE, signer=found)
    # Only now the policy's own window: what it is would tell a stranger that the key exists.
    if is_too_old(presented, now=now, window=found.signature_window_seconds):
        return SignedVerdict(reason=Reason.SIGNATURE_EXPIRED, signer=found)
    at = max(found.at, datetime.fromtimestamp(now, tz=UTC))  # a clock that is slow here lengthens no key's life
    refused = is_outside(found) or standing_of(found).refusal(at)
    if (
        refused is None
        and warns
        and is_browned_out(at, retire_at=found.fields.retire_at, both_since=found.warned_since)
    ):
        refused = Reason.ROTATE_NOW
    refused = refused or _not_enough(found, question)
    if refused is None and not _spend(presented, now=now):
        refused = Reason.REPLAY
    return SignedVerdict(reason=refused, signer=found)


def _not_enough(found: Found, question: Question) -> Reason | None:
    if outside_networks(found.fields.networks, question.client.address):
        return Reason.NETWORK
    return lacks_scope(found, question)


def _spend(presented: Presented, *, now: float) -> bool:
    return nonces().spend(presented.kid, presented.nonce, created=presented.created, now=now)
