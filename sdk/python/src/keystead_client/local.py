"""Decide about presented keys in this process, in about a microsecond, and still refuse a key the moment it was revoked."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

from keystead_client.beliefs import MOST_HOT, NEVER, Found
from keystead_client.credentials import AnyCredential, as_credential
from keystead_client.deciding import accepted, why_not
from keystead_client.ed25519 import need_ed25519
from keystead_client.errors import Busy, KeysteadError, Refused, Unreachable, Unsafe
from keystead_client.feed import CLOCK, Feed, clock
from keystead_client.key_text import kid_of
from keystead_client.limits import Limits
from keystead_client.nonces import NonceStore
from keystead_client.signature_judging import judge_signed
from keystead_client.signing import SignedRequest
from keystead_client.snapshots import Entry
from keystead_client.transport import Stream, Transport
from keystead_client.uses import Uses
from keystead_client.verdicts import NOBODY_KNOWN, Client, Reason, Verdict, refusal

_log: Final = logging.getLogger("keystead_client")
# A copy of a hasher that has read the tag is cheaper than a new one.
_tagged: Final = hashlib.sha256(b"keystead key digest v1\x00").copy
_REPORT_SECONDS: Final = 10.0
_NO_BELL_SECONDS: Final = 30.0
_CALLS_APART: Final = 1.0  # seconds between two calls of a bell that hangs up
_NEVER_TAKEN: Final = (400, 413, 422)  # a batch refused so would be refused for ever, and nothing after it be counted
NO_NONCES: Final = "no_nonce_store"
_REFUSED: Final = {reason: refusal(reason) for reason in Reason}


class LocalVerifier:
    """Decides in process over a signed snapshot of digests, kept fresh under a lease. Thread-safe; never blocks.

    It holds the bearer keys of the one service and environment that its credential names, as digests, and the public halves of
    those that sign by a key pair: nothing in it can be presented anywhere. Without a living lease it refuses everything with
    `stale`. Keys that no longer verify are not in the snapshot, so they are `unknown` here, where `Verifier` would say why.

    `name`: how Keystead's page of verifiers calls it, the host and the process if nothing is said; `nonces`: where accepted
    signatures are remembered; `signing_keys`: pinned keys that may sign, kid to `x`, instead of what `/v1/jwks` says over TLS;
    `timeout`: seconds that Keystead may be silent. Raises MissingExtra where nothing checks Ed25519.
    """

    blocking = False

    def __init__(
        self,
        url: str,
        *,
        credential: AnyCredential,
        name: str = "",
        nonces: NonceStore | None = None,
        signing_keys: Mapping[str, str] | None = None,
        timeout: float = 2.0,
        tls: ssl.SSLContext | None = None,
        allow_plain_http: bool = False,
    ) -> None:
        need_ed25519()
        self._transport = Transport(url, timeout=timeout, connections=2, tls=tls, allow_plain_http=allow_plain_http)
        self._credential = as_credential(credential)
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"[:80]
        self._signing_keys, self._nonces = signing_keys, nonces
        self._reset()
        _living.add(self)

    def _reset(self) -> None:
        self._feed = Feed(self._transport, self._credential, name=self._name, signing_keys=self._signing_keys)
        self._uses, self._limits, self._ahead = Uses(self._told_time), Limits(), 0.0
        self._note, self._note_valid = self._uses.note, self._uses.note_valid
        self._started, self._stopped = False, threading.Event()
        self._starting = threading.Lock()
        self._ring, self._ready = threading.Event(), threading.Event()
        self._mistake: Refused | None = None
        self._bell: Stream | None = None
        self._threads: list[threading.Thread] = []

    def start(self, *, wait: float = 10.0) -> Self:
        """Follow the feed, and wait until the first lease, `wait` seconds at most. A Keystead that is away only has keys refused.

        Raises Refused if this credential may not verify in process.
        """
        with self._starting:
            if not self._started:
                self._started = True
                for work in (self._follow, self._listen):
                    thread = threading.Thread(target=work, name=f"keystead-{work.__name__}", daemon=True)
                    self._threads.append(thread)
                    thread.start()
        self._ready.wait(wait)
        if self._mistake is not None:
            raise self._mistake
        return self

    def verify(
        self, text: str | None, /, scopes: Sequence[str] = (), method: str = "", client: Client = NOBODY_KNOWN
    ) -> Verdict:
        """Decide about one key by what holds now."""
        # Not keyword-only as elsewhere: CPython has no quick way to call what leaves those out, which is a tenth of all this.
        plain_until, plain = self._feed.plain
        if clock(CLOCK) < plain_until:
            try:
                hasher = _tagged()
                hasher.update(text.encode())  # type: ignore[union-attr]  # None is answered below
            except (AttributeError, UnicodeEncodeError):
                return _REFUSED[Reason.MALFORMED]
            verdict = plain(hasher.digest())
            if verdict is not None and (not scopes or verdict.scopes.issuperset(scopes)):
                if client is NOBODY_KNOWN:
                    self._note_valid(verdict.kid)
                else:
                    self._note((verdict.kid, "valid", client))
                return verdict
        return self._decide(text, scopes, client)

    def _decide(self, text: str | None, scopes: Sequence[str], client: Client) -> Verdict:
        """Ask every question: of a key with networks or limits, that ends soon, has not enough scopes, or was not presented lately."""
        feed, now = self._feed, clock(CLOCK)
        until, offset, state, _ = feed.belief
        if now >= until or state is None:
            return self._not_now()
        try:
            hasher = _tagged()
            hasher.update((text or "").encode())
        except UnicodeEncodeError:
            return _REFUSED[Reason.MALFORMED]
        digest = hasher.digest()
        # Before the look-up: a find from before a change must not land among those after it. And in the other order than
        # they are replaced in: what is taken out of `hot` of before must not be remembered in `plain` of after.
        plain, hot = state.plain, state.hot
        found = hot.get(digest)
        if found is None:
            entry = state.find(digest)
            if entry is None:
                return _REFUSED[Reason.UNKNOWN if kid_of(text or "") else Reason.MALFORMED]
            found = _found(entry)
            if len(hot) < MOST_HOT:
                hot[digest] = found
        entry, verdict, plain_until = found
        if plain_until and digest not in plain:
            feed.remember(digest, found, plain=plain)
        reason = why_not(entry, int((now + offset) * 1000), scopes, client)
        if reason is None and entry.policy.limits:
            reason = self._limits.refusal(entry.kid, entry.policy.limits, now + offset)
        self._note((entry.kid, reason or "valid", client))
        return verdict if reason is None else _REFUSED[reason]

    def verify_signature(
        self, request: SignedRequest, *, scopes: Sequence[str] = (), client: Client = NOBODY_KNOWN
    ) -> Verdict:
        """Decide about a request signed by a key pair (RFC 9421), accepted once by all who share `nonces`.

        Raises Unsafe without them: whoever cannot know whether a request came before cannot check one. What a shared secret
        signed is `not_in_process`: ask `Verifier`. It waits only where the store of nonces does (`signatures_block`).
        """
        if self._nonces is None:
            raise Unsafe("Signed requests need LocalVerifier(nonces=...), or each could be sent again.", code=NO_NONCES)
        belief = self._feed.belief
        if clock(CLOCK) >= belief.until or belief.state is None:
            return self._not_now()
        verdict, used = judge_signed(
            request,
            belief=belief,
            believed=lambda: self._feed.belief,
            nonces=self._nonces,
            limits=self._limits,
            scopes=scopes,
            client=client,
        )
        if verdict and client is NOBODY_KNOWN:
            self._note_valid(used)
        elif used:
            self._note((used, verdict.reason or "valid", client))
        return verdict

    @property
    def signatures_block(self) -> bool:
        """Whether `verify_signature` may wait for a network, so that an event loop has to call it in a thread."""
        return self._nonces is not None and self._nonces.blocking

    def _not_now(self) -> Verdict:
        if not self._started:
            self.start(wait=0)  # a child of fork: what its parent had learned it may not believe
        return _REFUSED[Reason.STALE]

    @property
    def lease_seconds(self) -> float:
        """For how long, from now, it may still answer; negative when it may not."""
        return self._feed.belief.until - clock(CLOCK)

    def close(self) -> None:
        """Stop answering, report what was counted, and end the lease."""
        self._stopped.set()
        self._feed.disbelieve()
        self._ring.set()
        self._ready.set()
        if self._bell is not None:
            self._bell.hang_up()
        for thread in self._threads:
            thread.join(timeout=5)
        with suppress(KeysteadError):
            self._report()
        with suppress(KeysteadError):
            self._feed.leave()
        self._transport.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except Refused:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(self) -> None:
        failures, reported_at = 0, time.monotonic()
        starts = 0  # in a row that came to nothing
        while not self._stopped.is_set():
            try:
                changed = self._feed.renew() and not self._feed.confirm()
                failures, self._mistake = 0, None
                if self._feed.belief.until:
                    self._ready.set()
                # What was applied is confirmed at once: somebody waits for the receipt of a revocation.
                pause = 0.0 if changed else self._feed.renew_ms / 1000
                starts = starts + 1 if self._feed.state is None else 0
                if starts > 1:  # once it begins anew at once; where that comes to nothing as well, as after a failure
                    pause = _after(starts)
            except Exception as error:  # noqa: BLE001 - whatever it is, the lease runs out and the thread goes on
                failures += 1
                pause = _after(failures)
                self._tell(error)
            self._uses.count()
            if (now := time.monotonic()) - reported_at > _REPORT_SECONDS:
                is_told = True  # what could not be told waits as long as what is counted next
                with suppress(KeysteadError):
                    is_told = self._report(seconds=self._feed.renew_ms / 1000)
                reported_at = now if is_told else reported_at
                pause -= time.monotonic() - now
            if pause > 0:
                self._ring.wait(pause)
            self._ring.clear()

    def _tell(self, error: Exception) -> None:
        if isinstance(error, Refused) and not isinstance(error, Busy):
            self._mistake = error
            self._ready.set()
        elif not isinstance(error, KeysteadError):
            _log.error("keystead's answer could not be read", exc_info=error)
            return
        _log.warning("the lease was not renewed: %s (%s)", error, getattr(error, "code", ""))

    def _listen(self) -> None:
        self._ready.wait()  # whose credential may not verify has nothing to listen for
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._bell = self._feed.bell()
                try:
                    self._hear(self._bell)
                finally:
                    self._bell.close()
                # It ends now and then, so that a credential is shown anew; one that ends at once is not called at once.
                pause = 0.0 if time.monotonic() - began > _CALLS_APART else _CALLS_APART
            except Unreachable:
                pause = _CALLS_APART
            except KeysteadError:
                pause = _NO_BELL_SECONDS  # no doorbell here: the lease is renewed every second anyway
            self._stopped.wait(pause)

    def _hear(self, bell: Stream) -> None:
        """A ring that does not bring what changed, or not so that it can be applied, has it asked for."""
        rings = False
        for line in bell:
            if self._stopped.is_set():
                return
            if rings and not (line.startswith("data:") and self._feed.hear(line[5:], bell)):
                self._ring.set()
            rings = line == "event: change"

    def _told_time(self) -> float:
        """What Keystead's clock shows, as far as was heard of it; ours may be wrong by minutes or years."""
        belief = self._feed.belief
        if belief.state is not None:
            self._ahead = clock(CLOCK) + belief.offset - time.time()
        return time.time() + self._ahead

    def _report(self, *, seconds: float = NEVER) -> bool:
        """Tell what was counted; whether all of it, in the time until the lease wants to be renewed."""
        self._uses.count()
        over = time.monotonic() + seconds
        while (batch := self._uses.batch()) is not None:
            name, rows = batch
            try:
                self._feed.report(rows, batch=name)
            except Refused as refused:
                if refused.status not in _NEVER_TAKEN:
                    raise
                _log.warning("uses were not counted: %s (%s)", refused, refused.code)
            self._uses.sent()
            if time.monotonic() > over:
                return False
        return True


def _after(failures: int) -> float:
    return min(0.1 * 2.0 ** min(failures, 20), 5.0)  # a whole number has no end, and a float has


def _found(entry: Entry) -> Found:
    is_plain = entry.policy.networks is None and entry.warned is None and not entry.policy.limits
    return Found(entry, accepted(entry), (entry.ends_at - 1) / 1000 if is_plain else 0.0)


_living: Final[weakref.WeakSet[LocalVerifier]] = weakref.WeakSet()


def _in_child() -> None:
    # A child that used its parent's lease would go on accepting what the parent has confirmed as revoked.
    for verifier in list(_living):
        verifier._reset()  # noqa: SLF001 - the same module


if hasattr(os, "register_at_fork"):  # not where there is no fork
    os.register_at_fork(after_in_child=_in_child)
