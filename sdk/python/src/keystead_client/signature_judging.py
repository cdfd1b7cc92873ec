"""Decide in process about a request that is signed by a key pair: its form, its time, its signature, its key, and last its nonce.

The order and the reasons are those of Keystead's door. A stranger gets `signature_invalid` whatever it is: no such key, another
key, something changed. The nonce is spent last, so that nobody spends one of a request that is refused for something else; and
because that may take a while, what was applied meanwhile is asked for behind it.
"""

from __future__ import annotations

import functools
import logging
from binascii import a2b_base64
from collections.abc import Callable, Sequence
from typing import Final

from keystead_client.beliefs import MOST_HOT, Belief, Signer, State
from keystead_client.deciding import accepted, why_not
from keystead_client.ed25519 import PublicKey, fits, key_of
from keystead_client.feed import CLOCK, clock
from keystead_client.limits import Limits
from keystead_client.nonces import NonceStore, NonceStoreUnavailable
from keystead_client.signature_profile import (
    ED25519,
    FUTURE_SKEW_SECONDS,
    LABEL,
    LONGEST_WINDOW_SECONDS,
    MalformedSignature,
)
from keystead_client.signature_reading import Presented, read_signed
from keystead_client.signing import SignedRequest
from keystead_client.verdicts import Client, Reason, Verdict

_log: Final = logging.getLogger("keystead_client")
# Checked with when there is no such key: who does not hold it cannot tell by the time it takes.
_NOBODY: Final = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
_AT_ONCE: Final = (
    0.001  # seconds: a store that answers sooner was not waited for, so nothing has ended by the clock meanwhile
)
_BEFORE: Final = len(f"{LABEL}=:")


def judge_signed(  # noqa: PLR0911 - one question a line, each with its reason
    request: SignedRequest,
    *,
    belief: Belief,
    believed: Callable[[], Belief],
    nonces: NonceStore,
    limits: Limits,
    scopes: Sequence[str],
    client: Client,
) -> tuple[Verdict, str]:
    """Decide by a belief that holds now; and say whose use it is, by a kid, where that is known.

    `believed` tells what is believed when the store has answered.
    """
    now, state = clock(CLOCK) + belief.offset, belief.state
    assert state is not None
    try:
        presented = read_signed(request)
    except MalformedSignature as malformed:
        return _refused(Reason.SIGNATURE_MALFORMED, now, fault=malformed.fault), ""
    if presented.created <= now - LONGEST_WINDOW_SECONDS:
        return _refused(Reason.SIGNATURE_EXPIRED, now), ""
    # It may be a little earlier than `now`: what is too early for that is too early for everybody's memory of nonces.
    if presented.created > now - belief.ahead + FUTURE_SKEW_SECONDS:
        return _refused(Reason.SIGNATURE_IN_FUTURE, now), ""
    if presented.algorithm != ED25519:
        return _refused(Reason.NOT_IN_PROCESS, now), ""  # whoever's it is: shared secrets never leave Keystead
    signer, reason = _judge_key(presented, state, now=now, scopes=scopes, client=client)
    if signer is None or reason is not None:
        return _refused(reason or Reason.SIGNATURE_INVALID, now), "" if signer is None else signer.entry.kid
    try:
        is_first = nonces.spend(presented.kid, presented.nonce, created=presented.created, now=now)
    except Exception as error:  # noqa: BLE001 - whatever a store raises: it is not known to be the first time
        _log.warning("nonces cannot be asked: %s", error)
        code = error.code if isinstance(error, NonceStoreUnavailable) else NonceStoreUnavailable.code
        return _refused(Reason.UNAVAILABLE, now, fault=code), ""
    if is_first is not True:
        return _refused(Reason.REPLAY, now), signer.entry.kid
    answered = clock(CLOCK)
    if answered >= belief.until or believed().state is not state:
        return _refused(Reason.STALE, now), ""  # the store took longer than what was believed lasts
    # Whoever stopped the key while the store was asked has a receipt as soon as that was applied here.
    later = answered + belief.offset
    if later > now + _AT_ONCE or state.signers.get(presented.kid) is not signer:
        signer, reason = _judge_key(presented, state, now=later, scopes=scopes, client=client, known=signer)
        if signer is None or reason is not None:
            return _refused(reason or Reason.SIGNATURE_INVALID, now), "" if signer is None else signer.entry.kid
    entry = signer.entry
    if entry.policy.limits and (reason := limits.refusal(entry.kid, entry.policy.limits, now)) is not None:
        return _refused(reason, now), entry.kid
    return signer.verdict, entry.kid


def _judge_key(
    presented: Presented,
    state: State,
    *,
    now: float,
    scopes: Sequence[str],
    client: Client,
    known: Signer | None = None,
) -> tuple[Signer | None, Reason | None]:
    """Whose signature it is, None: nobody's; and why that key may not do what is asked. `known`: who was found to have signed it."""
    signer = state.signers.get(presented.kid) or _found(presented.kid, state)
    if signer is None or signer is not known:
        key = _nobody() if signer is None else signer.key  # the same work when there is no such key
        if not fits(key, a2b_base64(presented.signature[_BEFORE:-1]), presented.base) or signer is None:
            return None, None
    # Only now the policy's own window: what it is would tell a stranger that the key exists.
    if presented.created <= now - signer.entry.policy.window:
        return signer, Reason.SIGNATURE_EXPIRED
    return signer, why_not(signer.entry, int(now * 1000), scopes, client)


def _found(kid: str, state: State) -> Signer | None:
    known = state.signers  # before the look-up: a find from before a change must not land among those after it
    found = state.find_signer(kid)
    if found is None:
        return None
    signer = Signer(found.entry, key_of(found.public_key), accepted(found.entry))
    if len(known) < MOST_HOT:
        known[kid] = signer
    return signer


@functools.cache
def _nobody() -> PublicKey:
    return key_of(_NOBODY)


def _refused(reason: Reason, now: float, *, fault: str = "") -> Verdict:
    return Verdict(valid=False, reason=reason, fault=fault, server_time=int(now))
