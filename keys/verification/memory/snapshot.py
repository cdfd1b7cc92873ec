"""Hold in memory what verification asks of every version: a digest leads to what it opens, where, from where and until when.

Whatever many versions share is one object, so that a million versions fit into memory and a comparison is one of addresses.
What is here is only as good as the lease of its place (keys/verification/memory/feed.py); nobody may answer without asking that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from keys.verification.lookup import Found
from keys.verification.standing import Standing

NEVER: Final = float("-inf")  # an instant at which nothing was ever valid


@dataclass(slots=True, eq=False)
class Place:
    """A service in an environment: what a caller may ask about, and until when the answers here are fresh enough."""

    service_id: UUID
    environment_id: UUID
    service: str = ""
    environment: str = ""
    staleness: float = 0.0  # seconds; 0 means that the database is asked each time
    fresh_until: float = NEVER  # by this machine's clock (keys.verification.memory.lease.clock)
    signature_required: bool = False
    signed_scopes: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Grant:
    """What many versions have in common: where they open what, from where, and whose they are."""

    place: Place
    kind: str
    team_id: UUID
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    bound: Place | None = None  # a credential of a service: what its row names
    asks: Place | None = None  # and what it may ask about as the rules are now, shown as it is, without a signature
    limits: tuple[tuple[str, int], ...] = ()
    team: str = ""
    free: frozenset[str] = frozenset()  # scopes that need no signature
    is_open: bool = False  # whether nothing about the caller's caller has to be asked: no network, signature or limit
    told: bytes = b""  # the part of an answer that follows from the grant


@dataclass(slots=True, eq=False)
class Entry:
    """One version. `until` decides alone while it lies ahead; whatever else may be said of the version is in `standing`."""

    version: UUID
    key: UUID
    told: bytes  # the part of an answer that is the version's own
    grant: Grant
    until: float  # seconds since the epoch by the database's clock; NEVER when more than the clock has to be asked
    ends: float | None  # what an answer says of its end
    standing: Standing | None = None  # None: in force until `until`, then expired
    warned_since: float | None = None
    is_forged: bool = False


@dataclass(slots=True)
class Held:
    """What is read of one key: its versions by digest, and those that sign, by kid."""

    entries: dict[bytes, Entry] = field(default_factory=dict)
    signers: dict[str, Found] = field(default_factory=dict)


class Snapshot:
    """Every version that verifies or could tell why not, by its digest."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.signers: dict[str, Found] = {}
        self._of_key: dict[UUID, tuple[bytes, ...] | bytes] = {}
        self._signers_of_key: dict[UUID, tuple[str, ...]] = {}

    def put(self, key: UUID, held: Held) -> None:
        """Replace all that is held of one key. What stops is gone before what begins is there."""
        kept = held.entries.keys()
        for digest in self._digests(key):
            if digest not in kept:
                self._drop(digest, key)
        for digest, entry in held.entries.items():
            other = self.entries.get(digest)
            if other is None or other.key == key or not entry.is_forged:  # a forged row pushes no sound one out
                self.entries[digest] = entry
        digests = tuple(held.entries)
        if digests:
            # Most keys have one version: no tuple for those.
            self._of_key[key] = digests[0] if len(digests) == 1 else digests
        else:
            self._of_key.pop(key, None)
        for kid in self._signers_of_key.pop(key, ()):
            if kid not in held.signers:
                self.signers.pop(kid, None)
        if held.signers:
            self.signers.update(held.signers)
            self._signers_of_key[key] = tuple(held.signers)

    def of_key(self, key: UUID) -> dict[bytes, Entry]:
        """What is held of one key, by digest."""
        found = ((digest, self.entries.get(digest)) for digest in self._digests(key))
        return {digest: entry for digest, entry in found if entry is not None and entry.key == key}

    def __len__(self) -> int:
        return len(self.entries) + len(self.signers)

    def _digests(self, key: UUID) -> tuple[bytes, ...]:
        found = self._of_key.get(key, ())
        return (found,) if isinstance(found, bytes) else found

    def _drop(self, digest: bytes, key: UUID) -> None:
        entry = self.entries.get(digest)
        if entry is not None and entry.key == key:
            del self.entries[digest]
