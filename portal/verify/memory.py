"""Answer from memory: who asks, whether memory is fresh enough to say, and what it says. One thread answers, another keeps it fresh.

The path of an ordinary question is written out in `verify`, for it is what a service waits for: two digests, two look-ups,
two clocks. Everything else, every refusal and every doubt, takes the careful way behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from keys.catalogue.own_service import OWN_SERVICE
from keys.policy.addresses import outside_networks
from keys.signatures.reading import SignedRequest
from keys.states import VALID, KeyKind
from keys.verification.counting.limits import Limiter
from keys.verification.counting.tallies import SeenAs, Tallies
from keys.verification.lookup import Found
from keys.verification.memory.feed import Feed
from keys.verification.memory.lease import clock
from keys.verification.memory.loading import entry_of, told_time
from keys.verification.memory.recall import name_of, not_in_force, why_refused, why_unknown
from keys.verification.memory.snapshot import Entry, Place
from keys.verification.reasons import Reason
from keys.verification.signed import SignedVerdict, Unspent, is_spent_first, judge_unspent
from keys.verification.standing import Standing, standing_of
from keys.verification.verifier import Question, out_of_bounds
from portal import client_address
from portal.verify.door import bearer_of
from portal.verify.reading import Refused

if TYPE_CHECKING:
    from portal.verify.gathering import Gathering

MOST_ASKERS: Final = 10_000


class Asker:
    """A caller that proved who it is, and the instant of its question by the database's clock."""

    __slots__ = ("address", "asks", "at", "entry", "name")

    def __init__(
        self, asks: Place, at: float, *, entry: Entry | None = None, name: bytes = b"", address: str | None = None
    ) -> None:
        self.asks = asks
        self.at = at
        # Of one that memory knows: what it knew it by, and as what.
        self.entry = entry
        self.name = name
        self.address = address


class Memory:
    """The verdicts of one process."""

    def __init__(self, feed: Feed, tallies: Tallies) -> None:
        self.feed = feed
        self.tallies = tallies
        self.limiter = Limiter()
        self.gathering: Gathering | None = None  # who spends nonces of several at once, where somebody does
        self._signers: dict[str, tuple[Found, Entry, Standing]] = {}
        self._seen: dict[tuple[str, str, str | None], SeenAs] = {}

    def asker(self, authorization: str, environ: Mapping[str, Any]) -> Asker:
        """Recognise the caller by its credential; raises Refused, also when memory is too old to know."""
        return self.asker_with(bearer_of(authorization), environ)

    def asker_with(self, credential: str, environ: Mapping[str, Any]) -> Asker:
        """Recognise the caller by the text of its credential."""
        now = clock()
        at = now + self.feed.offset
        name = name_of(credential)
        entry = self.feed.snapshot.entries.get(name)
        if entry is None:
            self._refuse_if_nothing_is_fresh(now)
            raise Refused(401, "invalid_token")
        self.refuse_if_stale(entry.grant.place, now)
        seen = self.seen_as(environ)
        refused = self._caller_refused(entry, seen[0], at)
        self.tallies.file.count(entry, str(refused or VALID), at, seen)
        if refused is not None:
            raise Refused(401, "invalid_token")
        if entry.grant.asks is None:
            raise Refused(403, "insufficient_scope")
        self.refuse_if_stale(entry.grant.asks, now)
        return Asker(entry.grant.asks, at, entry=entry, name=name, address=seen[0])

    def resume(self, asker: Asker) -> None:
        """Go on when the body has come, or a nonce was spent: what was fresh need not be, and the instant is another.

        Nor need the caller be what it was: whoever stopped it meanwhile may have a receipt that says so.
        """
        now = clock()
        asker.at = now + self.feed.offset
        entry = self.feed.snapshot.entries.get(asker.name)
        if entry is not asker.entry or (entry is not None and asker.at >= entry.until):
            if entry is None or self._caller_refused(entry, asker.address, asker.at) is not None:
                raise Refused(401, "invalid_token")
            if entry.grant.asks is None:
                raise Refused(403, "insufficient_scope")
            asker.entry, asker.asks = entry, entry.grant.asks
        self.refuse_if_stale(asker.asks, now)

    def judge(self, text: str, question: Question, asker: Asker) -> tuple[Reason | None, Entry | None]:
        """Say why a presented key is refused, or None with what it opens."""
        entry = self.feed.snapshot.entries.get(name_of(text))
        if entry is None:
            return why_unknown(text), None
        reason = why_refused(entry, asks=asker.asks, question=question, at=asker.at)
        if reason is None and entry.grant.limits:
            reason = self.limiter.refusal(entry.key, entry.grant.limits, asker.at)
        self.tallies.file.count(entry, str(reason or VALID), asker.at, question.client.seen_as)
        return reason, None if reason else entry

    def judge_signed(
        self, request: SignedRequest, question: Question, asker: Asker
    ) -> tuple[SignedVerdict, Entry | None]:
        """Say why a signed request is refused, or None with what its key opens."""
        judged = self.judge_unspent(request, question, asker)
        if isinstance(judged, Unspent):
            is_first = is_spent_first(judged, now=asker.at)
            self.resume(asker)
            judged = self.judge_spent(judged, request, question, asker, is_first=is_first)
        return self.counted(judged, question, asker)

    def judge_unspent(self, request: SignedRequest, question: Question, asker: Asker) -> SignedVerdict | Unspent:
        """Judge all of a signed request but whether it is the first time."""
        return judge_unspent(
            request,
            find=self.feed.snapshot.signers.get,
            is_outside=partial(out_of_bounds, binding=asker.asks),
            question=question,
            now=asker.at,
            warns=True,
            standing=self._standing_of_signer,
        )

    def judge_spent(
        self, judged: Unspent, request: SignedRequest, question: Question, asker: Asker, *, is_first: bool
    ) -> SignedVerdict:
        """The answer, now that it was asked whether this is the first time: by what holds now, for that may have taken a while."""
        signer = judged.signer
        if is_first and (
            self.feed.snapshot.signers.get(signer.fields.kid) is not signer
            or self._standing_of_signer(signer).refusal(datetime.fromtimestamp(asker.at, tz=UTC)) is not None
        ):
            again = self.judge_unspent(request, question, asker)
            if isinstance(again, SignedVerdict):
                return again
            judged = again
        return judged.told(is_first=is_first)

    def counted(self, verdict: SignedVerdict, question: Question, asker: Asker) -> tuple[SignedVerdict, Entry | None]:
        """Hold a signer to its limits, and count what is said of it."""
        if verdict.signer is None:
            return verdict, None
        entry = self.entry_of_signer(verdict.signer)
        verdict = self.limited(verdict, entry, asker.at)
        self.tallies.file.count(entry, str(verdict.reason or VALID), asker.at, question.client.seen_as)
        return verdict, None if verdict.reason else entry

    def limited(self, verdict: SignedVerdict, entry: Entry, at: float) -> SignedVerdict:
        """The verdict, unless the key of a signer that is right was used too often already."""
        if verdict.reason is not None or not entry.grant.limits:
            return verdict
        return replace(verdict, reason=self.limiter.refusal(entry.key, entry.grant.limits, at))

    def entry_of_signer(self, found: Found) -> Entry:
        """What is said and counted of a version that signs, as long as its row stays as it is."""
        return self._signer(found)[1]

    def _standing_of_signer(self, found: Found) -> Standing:
        return self._signer(found)[2]

    def _signer(self, found: Found) -> tuple[Found, Entry, Standing]:
        kept = self._signers.get(found.fields.kid)
        if kept is None or kept[0] is not found:
            if len(self._signers) >= MOST_ASKERS:
                self._signers.clear()
            kept = found, entry_of(found, self.feed.catalogue.grant_of(found)), standing_of(found)
            self._signers[found.fields.kid] = kept
        return kept

    def refuse_if_stale(self, place: Place, now: float) -> None:
        """Nothing is said of a place that was not heard of within its lease; where memory is no source, the caller asks another."""
        if now < place.fresh_until:
            return
        if self.feed.is_behind_log:
            raise Refused(503, "log_interrupted")
        if not place.staleness and place.service:
            raise AskTheDatabase
        raise Refused(503, "verifier_stale")

    def seen_as(self, environ: Mapping[str, Any]) -> SeenAs:
        """Who asks, as far as the connection shows: kept, for it is the same few over and over."""
        peer, user_agent = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_USER_AGENT", "")[:200]
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")  # one that is empty is another than none
        if forwarded:
            forwarded = forwarded[-200:]  # our proxies write at its end
        seen = self._seen.get((peer, user_agent, forwarded))
        if seen is None:
            if len(self._seen) >= MOST_ASKERS:
                self._seen.clear()
            seen = client_address.of_environ(environ), user_agent, ""
            self._seen[peer, user_agent, forwarded] = seen
        return seen

    def _refuse_if_nothing_is_fresh(self, now: float) -> None:
        """Before memory is filled, and when it is old, nobody is a stranger."""
        places = list(self.feed.catalogue.places.values())
        if any(now < place.fresh_until for place in places):
            return
        if self.feed.is_behind_log:
            raise Refused(503, "log_interrupted")
        if places and not any(place.staleness for place in places):
            raise AskTheDatabase
        raise Refused(503, "verifier_stale")

    def _caller_refused(self, entry: Entry, address: str | None, at: float) -> Reason | None:
        if entry.is_forged:
            return Reason.INTEGRITY_FAILURE
        if entry.grant.place.service != OWN_SERVICE:
            return Reason.WRONG_SERVICE
        refused = not_in_force(entry, at=at)
        if refused is None and (entry.grant.kind != KeyKind.BEARER or entry.grant.place.signature_required):
            return Reason.SIGNATURE_REQUIRED
        if refused is None and outside_networks(entry.grant.networks, address):
            return Reason.NETWORK
        return refused


class AskTheDatabase(Exception):
    """This environment wants no memory: the question goes to the database."""


class Instants:
    """Write instants as answers do: once for all answers of a millisecond."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0.0, 0.0, b""

    def told(self, at: float) -> bytes:
        begins, ends, told = self._last
        if not begins <= at < ends:
            milliseconds = int(at * 1000)
            begins, ends = milliseconds / 1000, (milliseconds + 1) / 1000
            told = str(told_time(datetime.fromtimestamp(begins, tz=UTC))).encode()
            self._last = begins, ends, told  # at once: the threads of the site share it
        return told
