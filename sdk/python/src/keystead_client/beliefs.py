"""Hold what was true at a position, and what a reader may make of it until when. Readers take no lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from keystead_client.ed25519 import PublicKey, raw_key
from keystead_client.snapshots import Entry, FoundSigner, Snapshot, read_policy
from keystead_client.verdicts import Verdict


class Found(NamedTuple):
    """A version with what can be said of it beforehand. Until `plain_until` only a revocation or a scope could refuse it."""

    entry: Entry
    verdict: Verdict
    plain_until: float  # seconds of Keystead's clock; the last millisecond is decided with whole numbers


class Signer(NamedTuple):
    """A version that signs, ready to check with."""

    entry: Entry
    key: PublicKey
    verdict: Verdict


class Belief(NamedTuple):
    """What a reader needs, in one piece, so that it never mixes what was true with what is."""

    until: float  # seconds of our clock; until then it may be answered at all
    offset: float  # added to our clock it gives Keystead's
    state: State | None
    ahead: float = 0.0  # how much Keystead's clock may be behind what `offset` gives; never before it


# Until when, by our clock, a key that is found here is valid for any client, and for the scopes of its verdict.
Plain = tuple[float, Callable[[bytes], Verdict | None]]
NOTHING: Final = Belief(0.0, 0.0, None)
NOT_PLAIN: Final[Plain] = 0.0, dict[bytes, Verdict]().get
NEVER: Final = float("inf")
MOST_HOT: Final = 16_384
_MOST_CHANGED: Final = 50_000  # entries beside the snapshot; more, and a fresh snapshot is smaller


class State:
    """What was true at `position`. Readers need no lock: each step is one act on one dictionary, and errs by refusing."""

    __slots__ = (
        "by_key", "changed", "changed_signers", "gone", "hot", "kids_by_key", "plain", "plain_ends", "position", "signers", "snapshot"
    )  # fmt: skip

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.position = snapshot.position
        self.changed: dict[bytes, Entry] = {}
        self.by_key: dict[str, list[bytes]] = {}
        self.changed_signers: dict[str, FoundSigner] = {}
        self.kids_by_key: dict[str, list[str]] = {}
        self.gone: set[str] = set()
        # What was found lately, and what of it is valid for any question until the clock ends it, at `plain_ends` the first.
        self.hot: dict[bytes, Found] = {}
        self.plain: dict[bytes, Verdict] = {}
        self.plain_ends = NEVER
        self.signers: dict[str, Signer] = {}  # what signed lately

    def find(self, digest: bytes) -> Entry | None:
        """Find a version that verifies, as far as is known."""
        entry = self.changed.get(digest)
        if entry is not None:
            return entry
        entry = self.snapshot.find(digest)
        return None if entry is None or entry.kid in self.gone else entry

    def find_signer(self, kid: str) -> FoundSigner | None:
        """Find a version that signs by a key pair and verifies, as far as is known."""
        found = self.changed_signers.get(kid)
        if found is not None or kid in self.gone:
            return found
        return self.snapshot.find_signer(kid)

    def follow(self, changes: Sequence[Mapping[str, Any]], position: str) -> None:
        """Apply changes and stand at `position`."""
        for change in changes:
            self._apply(change)
        if changes:
            # Replaced, not emptied: a reader that looked before the change writes its find into the old one. `plain` last.
            self.hot, self.signers = {}, {}
            self.plain, self.plain_ends = {}, NEVER
        self.position = position

    def _apply(self, change: Mapping[str, Any]) -> None:
        """Put what verifies of a key now in the place of all that was known of it. First all of it is read.

        What is known of a version is never taken away for a moment: the snapshot may tell of it as it was before, and allow more.
        """
        versions = {bytes.fromhex(version["digest"]): _entry(version) for version in change["versions"]}
        signers = {  # a Keystead of before tells of none
            version["kid"]: FoundSigner(_entry(version), raw_key(version["public_key"]))
            for version in change.get("signers", ())
        }
        self.gone.update(change["gone"])
        for digest in self.by_key.pop(change["key_id"], ()):
            if digest not in versions:
                self.changed.pop(digest, None)
        for kid in self.kids_by_key.pop(change["key_id"], ()):
            if kid not in signers:
                self.changed_signers.pop(kid, None)
        self.changed.update(versions)
        self.changed_signers.update(signers)
        if versions:
            self.by_key[change["key_id"]] = list(versions)
        if signers:
            self.kids_by_key[change["key_id"]] = list(signers)

    @property
    def is_worn(self) -> bool:
        """Whether so much changed that a fresh snapshot is better."""
        return len(self.changed) + len(self.changed_signers) + len(self.gone) > _MOST_CHANGED


def _entry(version: Mapping[str, Any]) -> Entry:
    return Entry(
        version["kid"], read_policy(version["policy"]), version["ends_at"], version["retires"], version["warned"]
    )
