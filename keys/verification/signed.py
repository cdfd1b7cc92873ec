"""Decide about a signed request: its form, its time, its signature, then what is asked of every key, and last its nonce.

A stranger gets `signature_invalid` whatever it is: no such key, another key, another kind, something changed. The nonce is
spent last, so that nobody spends one of a request that is refused for something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from keys.nonces.spending import nonces
from keys.policy.addresses import outside_networks
from keys.signatures.checking import holds, is_in_future, is_too_old
from keys.signatures.profile import Fault, MalformedSignature
from keys.signatures.reading import Presented, SignedRequest, read_signed
from keys.verification.brownouts import is_browned_out
from keys.verification.lookup import Found
from keys.verification.reasons import Reason
from keys.verification.signing_keys import signing_keys
from keys.verification.standing import Standing, standing_of
from keys.verification.verifier import Question, lacks_scope


@dataclass(frozen=True, kw_only=True)
class SignedVerdict:
    """The answer: a reason to refuse, or None. `signer` is the version whose signature it truly is, also when refused."""

    reason: Reason | None
    fault: Fault | None = None
    signer: Found | None = None


class Unspent(NamedTuple):
    """No answer yet: everything holds but that this is the first time, which nobody has asked."""

    signer: Found
    presented: Presented

    def told(self, *, is_first: bool) -> SignedVerdict:
        """The answer, now that it was asked."""
        return SignedVerdict(reason=None if is_first else Reason.REPLAY, signer=self.signer)


def judge_signed(
    request: SignedRequest,
    *,
    find: Callable[[str], Found | None],
    is_outside: Callable[[Found], Reason | None],
    question: Question,
    now: float,
    warns: bool = False,
) -> SignedVerdict:
    """Decide about `request`, its nonce included; raises NonceStoreUnavailable, which is no verdict. See `judge_unspent`.

    Who stopped the key while the store was asked may have been answered, so it is asked for once more.
    """

    def judge() -> SignedVerdict | Unspent:
        return judge_unspent(request, find=find, is_outside=is_outside, question=question, now=now, warns=warns)

    judged = judge()
    if isinstance(judged, Unspent) and is_spent_first(judged, now=now):
        judged = judge()
        return judged if isinstance(judged, SignedVerdict) else judged.told(is_first=True)
    return judged if isinstance(judged, SignedVerdict) else judged.told(is_first=False)


def is_spent_first(judged: Unspent, *, now: float) -> bool:
    """Spend its nonce, and say whether that was the first time; raises NonceStoreUnavailable."""
    presented = judged.presented
    return nonces().spend(presented.kid, presented.nonce, created=presented.created, now=now)


def judge_unspent(  # noqa: PLR0911 - one question a line, each with its reason
    request: SignedRequest,
    *,
    find: Callable[[str], Found | None],
    is_outside: Callable[[Found], Reason | None],
    question: Question,
    now: float,
    warns: bool = False,
    standing: Callable[[Found], Standing] = standing_of,
) -> SignedVerdict | Unspent:
    """Decide about `request` at `now`, seconds since the epoch, in all but whether it is the first time.

    `find` looks a version up by its kid, in the database or in memory under a lease; `is_outside` says why it is none of
    the caller's; `warns`: whether an old version is refused for moments before its end; `standing` may remember.
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
    key, intact = signing_keys.of(found)
    if not holds(presented, key) or found is None:
        return SignedVerdict(reason=Reason.SIGNATURE_INVALID)
    if not intact:
        return SignedVerdict(reason=Reason.INTEGRITY_FAILURE, signer=found)
    # Only now the policy's own window: what it is would tell a stranger that the key exists.
    if is_too_old(presented, now=now, window=found.signature_window_seconds):
        return SignedVerdict(reason=Reason.SIGNATURE_EXPIRED, signer=found)
    at = max(found.at, datetime.fromtimestamp(now, tz=UTC))  # a clock that is slow here lengthens no key's life
    refused = is_outside(found) or standing(found).refusal(at)
    if (
        refused is None
        and warns
        and is_browned_out(at, retire_at=found.fields.retire_at, both_since=found.warned_since)
    ):
        refused = Reason.ROTATE_NOW
    refused = refused or _not_enough(found, question)
    return SignedVerdict(reason=refused, signer=found) if refused else Unspent(found, presented)


def _not_enough(found: Found, question: Question) -> Reason | None:
    if outside_networks(found.fields.networks, question.client.address):
        return Reason.NETWORK
    return lacks_scope(found, question)
