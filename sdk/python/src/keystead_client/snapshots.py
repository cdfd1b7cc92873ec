"""Read a signed snapshot of digests, and find a key in it: 64 bytes a key as they came, and four for the index.

Keys that sign by a pair are records too, a public key in the place of the digest and found by their kid, apart from the others:
nothing that is presented is ever looked for among them, nor a signer among what is presented.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from keystead_client.ed25519 import check, from_base64url, public_key
from keystead_client.errors import IntegrityError
from keystead_client.networks import Networks
from keystead_client.signature_profile import LONGEST_WINDOW_SECONDS

MAGIC: Final = b"KSSNAP1\n"
_SIGNED: Final = b"keystead snapshot v1\n"
RECORD: Final = 64
_SIGNATURE: Final = 64
_KID: Final = 16
_TAIL: Final = struct.Struct("<16sIIQ")  # kid, policy, flags, end: behind the digest
_RETIRES: Final = 1
_WINDOW: Final = 60  # seconds, where nothing is said of signatures


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What versions of one kind may do; shared by all of them."""

    scopes: frozenset[str]
    signed_scopes: frozenset[str]  # those that only a signed request may use
    networks: Networks | None  # None: any
    owner_team: str
    service: str
    environment: str
    window: int = _WINDOW  # seconds for which a signature is good
    limits: Mapping[str, int] = field(default_factory=dict)  # how many requests are accepted, by the name of the limit


class Entry(NamedTuple):
    """One version that verifies now, until `ends_at` (milliseconds of the server's clock)."""

    kid: str
    policy: Policy
    ends_at: int
    retires: bool
    warned: int | None


class FoundSigner(NamedTuple):
    """One version that signs by a key pair, and its public half."""

    entry: Entry
    public_key: bytes


class Snapshot:
    """All versions of one service and environment that verified at one position of the feed."""

    __slots__ = (
        "_buckets", "_policies", "_records", "_shift", "_signers", "_warned", "count", "lease_ms", "place", "position"
    )  # fmt: skip

    def __init__(self, header: Mapping[str, Any], records: bytes) -> None:
        self.position: str = header["position"]
        self.place: tuple[str, str] = header.get("service_id", ""), header.get("environment_id", "")
        self.lease_ms: int = header["lease_ms"]
        self.count: int = header["count"]
        self._policies = [read_policy(each) for each in header["policies"]]
        self._warned: dict[str, int] = dict(header["warned"])
        self._records = records
        self._shift, self._buckets = _index(records, self.count)
        self._signers = _signers(header.get("signers", ""))

    def find(self, digest: bytes) -> Entry | None:
        """Find the version with that digest."""
        bucket = int.from_bytes(digest[:4], "big") >> self._shift
        records, start = self._records, self._buckets[bucket] * RECORD
        for place in range(start, self._buckets[bucket + 1] * RECORD, RECORD):
            if records[place : place + 32] == digest:
                return self._entry(records, place)
        return None

    def find_signer(self, kid: str) -> FoundSigner | None:
        """Find the version of that kid that signs by a key pair."""
        records, wanted = self._signers, kid.encode().ljust(_KID, b"\x00")
        place = RECORD * bisect_left(
            range(len(records) // RECORD), wanted, key=lambda number: _kid_at(records, number * RECORD)
        )
        if place == len(records) or _kid_at(records, place) != wanted:
            return None
        return FoundSigner(self._entry(records, place), records[place : place + 32])

    def _entry(self, records: bytes, place: int) -> Entry:
        padded, policy, flags, ends_at = _TAIL.unpack_from(records, place + 32)
        kid = padded.rstrip(b"\x00").decode("ascii")
        return Entry(kid, self._policies[policy], ends_at, bool(flags & _RETIRES), self._warned.get(kid))


def read_snapshot(content: bytes, *, keys: Mapping[str, str], service: str = "", environment: str = "") -> Snapshot:
    """Verify a snapshot under the pinned `keys` (kid -> x of the JWK) and read it; IntegrityError otherwise.

    Nothing of it is believed before its signature is, and only as much is parsed as names the key that signed.
    """
    if content[: len(MAGIC)] != MAGIC or len(content) < len(MAGIC) + 4 + _SIGNATURE:
        raise IntegrityError("not a snapshot")
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    start = len(MAGIC) + 4 + length
    if start + _SIGNATURE > len(content):
        raise IntegrityError("the snapshot was cut")
    header = _object(content[len(MAGIC) + 4 : start])
    view = memoryview(content)
    signer = public_key(pinned(keys, header.get("kid")))
    check(signer, bytes(view[-_SIGNATURE:]), _SIGNED + hashlib.sha256(view[:-_SIGNATURE]).digest())
    if type(header.get("count")) is not int or len(content) - start - _SIGNATURE != header["count"] * RECORD:
        raise IntegrityError("the snapshot holds more or fewer records than it says")
    for name, wanted in (("service", service), ("environment", environment)):
        if wanted and header.get(name) != wanted:
            raise IntegrityError(f"the snapshot is of another {name}")
    try:
        return Snapshot(header, content[start:-_SIGNATURE])
    except (AttributeError, KeyError, TypeError, ValueError):  # signed, but by a release that writes another header
        raise IntegrityError("the header is not one that this release reads") from None


def pinned(keys: Mapping[str, str], kid: object) -> str:
    """Return the pinned key that something says it is signed with."""
    if not isinstance(kid, str) or kid not in keys:
        raise IntegrityError("signed with a key that is not pinned", code="unknown_signing_key")
    return keys[kid]


def read_policy(value: Mapping[str, Any]) -> Policy:
    """Read what a snapshot or a change says about a kind of versions."""
    return Policy(
        scopes=frozenset(value["scopes"]),
        signed_scopes=frozenset(value.get("signed_scopes", ())),
        networks=Networks(value["networks"]) if value["networks"] else None,
        owner_team=value["owner_team"],
        service=value["service"],
        environment=value["environment"],
        window=min(int(value.get("window", _WINDOW)), LONGEST_WINDOW_SECONDS),  # for no longer are nonces remembered
        limits={name: int(most) for name, most in value.get("limits", {}).items()},
    )


def _kid_at(records: bytes, place: int) -> bytes:
    return records[place + 32 : place + 32 + _KID]


def _signers(written: str) -> bytes:
    """Read the records of those that sign, each after the other by its kid."""
    records = from_base64url(written)
    if len(records) % RECORD:
        raise IntegrityError("a signer was cut")
    kids = [_kid_at(records, place) for place in range(0, len(records), RECORD)]
    if any(one >= other for one, other in itertools.pairwise(kids)):
        raise IntegrityError("the signers are not in order")
    return records


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise IntegrityError("the header is not JSON") from None
    if not isinstance(value, dict):
        raise IntegrityError("the header is not an object")
    return value


def _index(records: bytes, count: int) -> tuple[int, array[int]]:
    """Say for each beginning of a digest where its records start: about one a bucket, since digests are evenly spread."""
    bits = min(max(count.bit_length(), 4), 28)
    shift = 32 - bits
    beginnings = array("I", memoryview(records).cast("I")[:: RECORD // 4].tolist())
    if sys.byteorder == "little":
        beginnings.byteswap()
    buckets = array("I", bytes(4 * ((1 << bits) + 1)))
    last = 0
    for place, beginning in enumerate(beginnings, 1):
        if beginning < last:
            raise IntegrityError("the records are not in order")
        last = beginning
        buckets[(beginning >> shift) + 1] = place
    return shift, array("I", itertools.accumulate(buckets, max))
