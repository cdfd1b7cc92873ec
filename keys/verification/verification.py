"""Answer a service that asks about a key: look it up, decide, count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keys.crypto.secrets import Secret
from keys.sealing import keyring
from keys.states import VALID
from keys.verification.counting.limits import Limiter
from keys.verification.counting.sightings import note_use
from keys.verification.lookup import Found, find
from keys.verification.reasons import Reason
from keys.verification.verifier import Binding, Question, decide, kid_of

_here: Final = Limiter()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer: a reason to refuse, or the version that was accepted."""

    reason: Reason | None
    found: Found | None = None


def verify_key(text: str, *, binding: Binding, question: Question, limiter: Limiter | None = None) -> Verdict:
    """Decide about the presented `text` for the service and environment of the caller, by the database as it is now.

    Nothing is cached: a revocation that was answered before this was called is seen by it (DESIGN, invariant 5). A key is held
    to its limits by what `limiter` counted, or else this process alone: verifiers tell each other, the site is none of them.
    """
    secret = Secret(text or "-")
    del text
    kid = kid_of(secret)
    if kid is None:
        return Verdict(reason=Reason.MALFORMED)
    found = find(kid)
    reason = decide(found, secret, binding=binding, question=question, keyring=keyring())
    if found is None or reason == Reason.UNKNOWN:
        return Verdict(reason=Reason.UNKNOWN)
    if reason is None and found.limits:
        reason = (limiter or _here).refusal(found.key_id, found.limits.items(), found.at.timestamp())
    note_use(found.version_id, outcome=str(reason or VALID), client=question.client)
    return Verdict(reason=reason, found=None if reason else found)
