"""Hold a lease on the truth: take a snapshot, follow its changes, and know until when it may be believed.

The rule that makes a revocation final: what is read here may be used only until `asked at + lease_ms`, and only after every
change that came with the lease was applied. Keystead answers a revocation when every verifier has confirmed it, or when the
leases of those that did not have run out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keystead_client.credentials import Credential
from keystead_client.ed25519 import check, from_base64url, public_key
from keystead_client.errors import IntegrityError, Refused
from keystead_client.snapshots import Entry, Snapshot, pinned, read_policy, read_snapshot
from keystead_client.transport import Reply, Stream, Transport, raise_for
from keystead_client.verdicts import Verdict

_SIGNED: Final = b"keystead changes v1\n"
_SAFETY_NS: Final = 50_000_000  # between our clock and the one that counts the lease on the other side
_MOST_SNAPSHOT: Final = 1 << 31
_MOST_CHANGED: Final = 50_000  # entries beside the snapshot; more, and a fresh snapshot is smaller


# A clock that goes on while the machine sleeps: a lease must not outlive a closed lid. Called as clock_ns(CLOCK).
clock_ns: Final = time.clock_gettime_ns
CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(slots=True)
class Found:
    """An entry with what can be said of it beforehand. Until `simple_until_ns` only a revocation could refuse it."""

    entry: Entry
    verdict: Verdict
    kid: str
    simple_until_ns: int


class State:
    """What was true at `position`. Readers need no lock: each step is one act on one dictionary, and errs by refusing."""

    __slots__ = ("by_key", "changed", "gone", "hot", "position", "snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.position = snapshot.position
        self.changed: dict[bytes, Entry] = {}
        self.by_key: dict[str, list[bytes]] = {}
        self.gone: set[str] = set()
        self.hot: dict[bytes, Found] = {}  # what was found lately; a reader writes into the one it began with

    def find(self, digest: bytes) -> Entry | None:
        """Find a version that verifies, as far as is known."""
        entry = self.changed.get(digest)
        if entry is not None:
            return entry
        entry = self.snapshot.find(digest)
        return None if entry is None or entry.kid in self.gone else entry

    def follow(self, changes: Sequence[Mapping[str, Any]], position: str) -> None:
        """Apply changes and stand at `position`."""
        for change in changes:
            self._apply(change)
        if changes:
            # Replaced, not emptied: a reader that looked before the change writes its find into the old one.
            self.hot = {}
        self.position = position

    def _apply(self, change: Mapping[str, Any]) -> None:
        """Forget all that was known of a key, then learn what verifies of it now. In between it does not verify."""
        self.gone.update(change["gone"])
        for digest in self.by_key.pop(change["key_id"], ()):
            self.changed.pop(digest, None)
        digests = []
        for version in change["versions"]:
            entry = Entry(
                version["kid"],
                read_policy(version["policy"]),
                version["ends_at"],
                version["retires"],
                version["warned"],
            )
            digest = bytes.fromhex(version["digest"])
            self.changed[digest] = entry
            digests.append(digest)
        if digests:
            self.by_key[change["key_id"]] = digests

    @property
    def is_worn(self) -> bool:
        """Whether so much changed that a fresh snapshot is better."""
        return len(self.changed) + len(self.gone) > _MOST_CHANGED


class Feed:
    """Speaks to Keystead for one in-process verifier. Not thread-safe: one thread follows the feed."""

    def __init__(
        self, transport: Transport, credential: Credential, *, name: str, signing_keys: Mapping[str, str] | None
    ) -> None:
        self._transport, self._credential, self._name = transport, credential, name
        self._are_pinned = signing_keys is not None
        self._keys = dict(signing_keys or {})
        self._verifier = ""
        self.renew_ms = 1000
        self.state: State | None = None
        self.valid_until_ns = 0
        self.offset_ns = 0  # server's clock = ours + offset

    def renew(self) -> bool:
        """Renew the lease and apply what changed; whether anything did. Any error leaves the old lease to run out."""
        if self.state is None or not self._verifier or self.state.is_worn:
            self._start()
        state = self.state
        assert state is not None
        applied, asked_at = state.position, clock_ns(CLOCK)
        try:
            answer = self._post(f"/v1/verifiers/{self._verifier}/lease", {"applied": applied}).json()
        except Refused as refused:
            if refused.status not in (404, 409):
                raise
            self._forget()
            return True
        try:
            self._check(answer, applied)
        except IntegrityError as error:
            if not self._are_pinned and error.code == "unknown_signing_key":
                self._forget()  # Keystead signs with a new key: the next snapshot brings it
            raise
        if answer["resync"]:
            self._forget()
            return True
        state.follow(answer["changes"], answer["position"])
        self.offset_ns = answer["server_time"] * 1_000_000 - asked_at
        # Last, when all of it is applied: from here on the state may be believed.
        self.valid_until_ns = asked_at + answer["lease_ms"] * 1_000_000 - _SAFETY_NS
        return bool(answer["changes"])

    def bell(self) -> Stream:
        """Listen for the doorbell; a ring means: renew now. It proves nothing, least of all freshness."""
        headers = {**self._headers(), "Accept": "text/event-stream"}
        return self._transport.stream("/v1/feed", headers=headers, timeout=10)

    def report(self, uses: list[dict[str, Any]], *, batch: str) -> None:
        """Say what was verified. The same batch twice counts once."""
        self._post(f"/v1/verifiers/{self._verifier}/uses", {"batch": batch, "uses": uses})

    def leave(self) -> None:
        """End the lease at once, so that nobody waits for this verifier."""
        verifier, self._verifier = self._verifier, ""
        self._forget()
        if verifier:
            raise_for(self._transport.request("DELETE", f"/v1/verifiers/{verifier}", headers=self._headers()))

    def _forget(self) -> None:
        self.valid_until_ns = 0
        self.state = None

    def _start(self) -> None:
        self._forget()
        answer = self._post("/v1/verifiers", {"name": self._name}).json()
        if answer["lease_ms"] <= 0:
            raise Refused("This environment allows no verification in process: use Verifier.", code="not_in_process")
        self._verifier, self.renew_ms = answer["verifier"], answer["renew_ms"]
        reply = self._transport.request(
            "GET", "/v1/snapshot", headers=self._headers(), timeout=60, most_bytes=_MOST_SNAPSHOT
        )
        raise_for(reply)
        try:
            self.state = State(read_snapshot(reply.body, keys=self._signing_keys()))
        except IntegrityError as error:
            if self._are_pinned or error.code != "unknown_signing_key":
                raise
            self._keys = {}  # Keystead signs with a new key; without pins its own word over TLS is what there is
            self.state = State(read_snapshot(reply.body, keys=self._signing_keys()))

    def _signing_keys(self) -> Mapping[str, str]:
        if not self._keys:
            reply = self._transport.request("GET", "/v1/jwks")
            raise_for(reply)
            self._keys = {each["kid"]: each["x"] for each in reply.json()["keys"] if each.get("crv") == "Ed25519"}
        return self._keys

    def _check(self, answer: Mapping[str, Any], applied: str) -> None:
        signed = {name: answer[name] for name in ("lease_ms", "position", "changes", "server_time", "resync")}
        canonical = json.dumps(
            signed, ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )  # RFC 8785: ASCII names, whole numbers
        message = _SIGNED + f"{self._verifier}\n{applied}\n{canonical}".encode()
        check(public_key(pinned(self._keys, answer["kid"])), from_base64url(answer["signature"]), message)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._credential.current().reveal()}"}

    def _post(self, path: str, body: object) -> Reply:
        headers = {**self._headers(), "Content-Type": "application/json"}
        reply = self._transport.request("POST", path, headers=headers, body=json.dumps(body).encode())
        raise_for(reply)
        return reply
