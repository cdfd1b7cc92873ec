"""Hold a lease on the truth: take a snapshot, follow its changes, and know until when it may be believed.

The rule that makes a revocation final: what is read here may be used only until `asked at + lease_ms`, and only after every
change that came with the lease was applied. Keystead answers a revocation when every verifier has confirmed it, or when the
leases of those that did not have run out.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from keystead_client.beliefs import MOST_HOT, NEVER, NOT_PLAIN, NOTHING, Belief, Found, State
from keystead_client.credentials import Credential, showing
from keystead_client.ed25519 import check, from_base64url, public_key
from keystead_client.errors import IntegrityError, KeysteadError, Refused, Unreachable
from keystead_client.events import canonical, reaches, read_event
from keystead_client.secret import Secret
from keystead_client.snapshots import pinned, read_snapshot
from keystead_client.transport import Reply, Stream, Transport, raise_for
from keystead_client.verdicts import Verdict

_SIGNED: Final = b"keystead changes v1\n"
_SAFETY: Final = 0.05  # seconds between our clock and the one that counts the lease on the other side
_MOST_SNAPSHOT: Final = 1 << 31
_AWAY: Final = 30.0  # seconds for which a place that did not answer is not asked again
_SHORTEST_RENEWAL, _RENEWAL, _LONGEST_RENEWAL = 5, 1000, 3_600_000  # milliseconds, whatever is told
_SILENCE: Final = 5.0  # seconds; the bell beats each second, so one that is quiet for longer is dead
_Read = TypeVar("_Read")


# A clock that goes on while the machine sleeps: a lease must not outlive a closed lid. Called as clock(CLOCK), in seconds.
clock: Final = time.clock_gettime
CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Feed:
    """Speaks to Keystead for one in-process verifier: one thread renews, another hears what changed."""

    def __init__(
        self, transport: Transport, credential: Credential, *, name: str, signing_keys: Mapping[str, str] | None
    ) -> None:
        self._transport, self._credential, self._name = transport, credential, name
        self._are_pinned = signing_keys is not None
        self._keys = dict(signing_keys or {})
        self._verifier = self._bell_url = ""
        self._beside: Transport | None = None
        self._beside_away_until = 0.0
        self._lease_path = ""
        self._takes_word = False  # whether what was applied may be said without a renewal
        self._hears = False  # and on the line of the bell itself
        self._has_left = False
        self.renew_ms: float = _RENEWAL
        self.state: State | None = None
        self.belief, self.plain = NOTHING, NOT_PLAIN
        self._applying, self._remembering = threading.Lock(), threading.Lock()

    def renew(self) -> bool:
        """Renew the lease and apply what changed; whether anything did. Any error leaves the old lease to run out.

        What comes with a ring is applied meanwhile: a stop shall not wait for an answer that is on its way.
        """
        if self.state is None or not self._verifier or self.state.is_worn:
            self._start()
        state = self.state
        assert state is not None
        applied, asked_at = state.position, clock(CLOCK)
        try:
            answer = self._ask(applied).json()
            waited = clock(CLOCK) - asked_at
        except Refused as refused:
            if refused.status not in (404, 409):
                raise
            self._forget()
            return True
        self._with_known_keys(lambda keys: self._check(answer, applied, keys))
        if answer["resync"]:
            self._forget()
            return True
        with self._applying:
            changed = self._follow(state, answer["changes"], answer["position"])
            if changed is None:
                self._forget()
                return True
            # Last, when all of it is applied: from here on the state may be believed.
            until = asked_at + answer["lease_ms"] / 1000 - _SAFETY
            self.believe(until, offset=answer["server_time"] / 1000 - asked_at, ahead=waited)
            return changed

    def hear(self, told: str, bell: Stream) -> bool:
        """Apply the change that came with a ring, and say so; False: only a renewal can tell. The lease stays as it is."""
        try:
            with self._applying:
                verifier, position = self._verifier, self._apply(told)
        except (IntegrityError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return False
        if not position:
            return position is not None
        if bell.speaks:
            with suppress(Unreachable):
                bell.say(json.dumps({"verifier": verifier, "applied": position}).encode())
                return True
        return self._say(position)

    def confirm(self) -> bool:
        """Say that everything is applied that a renewal brought; False: the next one has to say it."""
        state = self.state
        return state is not None and self._say(state.position)

    def _say(self, position: str) -> bool:
        """Say up to where changes are applied: somebody waits for the receipt of a revocation."""
        if self._beside is None or not self._takes_word:
            return False
        try:
            self._post("/applied", {"applied": position}, to=self._beside)
        except KeysteadError:
            return False
        return True

    def _apply(self, told: str) -> str | None:
        """Apply an event where it follows on what is held; where that stands now, "" for old news, None where it does not follow."""
        state, belief = self.state, self.belief
        if state is None or not self._takes_word or state.is_worn:
            return None
        event = read_event(told, keys=self._keys, place=state.snapshot.place)
        if event is None:
            return None
        if reaches(state.position, event.position):
            return ""
        if not (reaches(state.position, event.since) and reaches(event.position, state.position)):
            return None
        self.plain = NOT_PLAIN  # from here on every question is asked, whatever becomes of the rest
        state.follow(event.changes, event.position)
        with self._remembering:
            if self.belief is belief:
                self.plain = belief.until, state.plain.get
        return event.position

    def _follow(self, state: State, changes: Sequence[Mapping[str, Any]], position: str) -> bool | None:
        """Apply what a renewal brought; whether anything was, None where it neither shows all that is held nor the other way round.

        A ring may have brought more since it was asked for, and then it is old news, which would bring back what was stopped.
        """
        if reaches(state.position, position):
            return False
        if not reaches(position, state.position):
            return None
        if changes:
            self.plain = NOT_PLAIN  # from here on every question is asked, whatever becomes of the rest
        state.follow(changes, position)
        return bool(changes)

    def believe(self, until: float, *, offset: float, ahead: float = 0.0) -> None:
        """Let readers use the state until then, by our clock; not one that was given back meanwhile."""
        with self._remembering:
            state = self.state
            if state is None:
                return
            if state.plain_ends - offset <= until:  # one of them ends: they are found again, but for that one
                state.plain, state.plain_ends = {}, NEVER
            self.belief = Belief(until, offset, state, ahead)
            self.plain = until, state.plain.get

    def remember(self, digest: bytes, found: Found, *, plain: dict[bytes, Verdict]) -> None:
        """Keep what was found where the search began: nobody looks there any more if something changed meanwhile."""
        with self._remembering:
            until, offset, state, _ = self.belief
            # Whatever ends while this belief lasts is asked each time; a later belief looks at `plain_ends` itself.
            if (
                state is None
                or state.plain is not plain
                or len(plain) >= MOST_HOT
                or found.plain_until - offset <= until
            ):
                return
            plain[digest] = found.verdict
            state.plain_ends = min(state.plain_ends, found.plain_until)

    def _ask(self, applied: str) -> Reply:
        """Ask where Keystead said that many are served at once; the site answers the same when nobody is there."""
        if self._beside is not None and time.monotonic() >= self._beside_away_until:
            try:
                return self._post(self._lease_path, {"applied": applied}, to=self._beside)
            except Unreachable:
                self._beside_away_until = time.monotonic() + _AWAY
        try:
            return self._post(f"/v1/verifiers/{self._verifier}/lease", {"applied": applied})
        except Unreachable:
            self._beside_away_until = 0.0  # now both are away, and whichever is back first shall be heard
            raise

    def bell(self) -> Stream:
        """Listen for the doorbell; a ring means: renew now. It proves nothing, least of all freshness."""
        if not self._hears:
            return self._call(speaks=False)
        try:
            return self._call(speaks=True)
        except Unreachable:
            bell = self._call(speaks=False)
            self._hears = False  # it is there: something between us keeps a request until it is whole
            return bell

    def _call(self, *, speaks: bool) -> Stream:
        def call(secret: Secret) -> Stream:
            headers = {**_shown(secret), "Accept": "text/event-stream"}
            if self._bell_url:
                there = self._transport.elsewhere(self._bell_url)
                return there.stream("", headers=headers, timeout=_SILENCE, speaks=speaks)
            return self._transport.stream("/v1/feed", headers=headers, timeout=_SILENCE, speaks=speaks)

        return showing(self._credential, call)

    def report(self, uses: list[dict[str, Any]], *, batch: str) -> None:
        """Say what was verified. The same batch twice counts once."""
        self._post(f"/v1/verifiers/{self._verifier}/uses", {"batch": batch, "uses": uses})

    def leave(self) -> None:
        """End the lease at once, and take none from then on, so that nobody waits for this verifier."""
        self._has_left = True
        verifier, self._verifier = self._verifier, ""
        self._forget()
        if verifier:
            self._request("DELETE", f"/v1/verifiers/{verifier}")

    def disbelieve(self) -> None:
        """Let nobody answer any more."""
        with self._remembering:
            self.belief, self.plain = NOTHING, NOT_PLAIN

    def _forget(self) -> None:
        with self._remembering:
            self.belief, self.plain, self.state = NOTHING, NOT_PLAIN, None

    def _start(self) -> None:
        self._forget()
        answer = self._post("/v1/verifiers", {"name": self._name}).json()
        if answer["lease_ms"] <= 0:
            raise Refused("This environment allows no verification in process: use Verifier.", code="not_in_process")
        self._verifier, self.renew_ms = answer["verifier"], _pause(answer["renew_ms"])
        if self._has_left:  # while this hung: what it was named by now is what has to leave
            self.leave()
            raise Unreachable("This verifier was closed.", code="closed")
        named = answer.get("feed")  # a process of its own, which need not stand behind the same address
        self._bell_url = named if isinstance(named, str) else ""
        self._beside, self._takes_word, self._hears = None, False, answer.get("feed_hears") is True
        if isinstance(answer.get("lease"), str):
            beside, _, last = answer["lease"].rpartition("/")
            with suppress(KeysteadError):  # an address that would show the credential is not asked
                self._beside, self._lease_path = self._transport.elsewhere(beside), f"/{last}"
                self._takes_word = answer.get("applied") == f"{beside}/applied"
        reply = self._request("GET", "/v1/snapshot", timeout=60, most_bytes=_MOST_SNAPSHOT)
        self.state = State(self._with_known_keys(lambda keys: read_snapshot(reply.body, keys=keys)))

    def _with_known_keys(self, read: Callable[[Mapping[str, str]], _Read]) -> _Read:
        """Read what is signed. The key may be new to us: without pins Keystead's own word over TLS is what there is."""
        try:
            return read(self._keys)
        except IntegrityError as error:
            if self._are_pinned or error.code != "unknown_signing_key":
                raise
        reply = self._transport.request("GET", "/v1/jwks")
        raise_for(reply)
        self._keys = {each["kid"]: each["x"] for each in reply.json()["keys"] if each.get("crv") == "Ed25519"}
        return read(self._keys)

    def _check(self, answer: Mapping[str, Any], applied: str, keys: Mapping[str, str]) -> None:
        signed = {name: answer[name] for name in ("lease_ms", "position", "changes", "server_time", "resync")}
        message = _SIGNED + f"{self._verifier}\n{applied}\n{canonical(signed)}".encode()
        check(public_key(pinned(keys, answer["kid"])), from_base64url(answer["signature"]), message)

    def _post(self, path: str, body: object, *, to: Transport | None = None) -> Reply:
        return self._request("POST", path, body=json.dumps(body).encode(), to=to)

    def _request(
        self, method: str, path: str, *, body: bytes | None = None, to: Transport | None = None, **bounds: int
    ) -> Reply:
        more = {} if body is None else {"Content-Type": "application/json"}

        def ask(secret: Secret) -> Reply:
            headers = {**_shown(secret), **more}
            reply = (to or self._transport).request(method, path, headers=headers, body=body, **bounds)
            raise_for(reply)
            return reply

        return showing(self._credential, ask)


def _pause(told: object) -> float:
    """How often to renew. What is no pause would have Keystead asked without end, or end the thread that asks."""
    if not isinstance(told, int | float) or not told > 0:
        return _RENEWAL
    return min(max(told, _SHORTEST_RENEWAL), _LONGEST_RENEWAL)


def _shown(secret: Secret) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret.reveal()}"}
