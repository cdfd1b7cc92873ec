"""Read a signed snapshot of digests, and find a key in it: 64 bytes a key as they came, and four for the index."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from keystead_client.ed25519 import check, public_key
from keystead_client.errors import IntegrityError
from keystead_client.networks import Networks

MAGIC: Final = b"KSSNAP1\n"
_SIGNED: Final = b"keystead snapshot v1\n"
RECORD: Final = 64
_SIGNATURE: Final = 64
_TAIL: Final = struct.Struct("<16sIIQ")  # kid, policy, flags, end: behind the digest
_RETIRES: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What versions of one kind may do; shared by all of them."""

    scopes: frozenset[str]
    signed_scopes: frozenset[str]  # those that only a signed request may use
    networks: Networks | None  # None: any
    owner_team: str
    service: str
    environment: str


class Entry(NamedTuple):
    """One version that verifies now, until `ends_at` (milliseconds of the server's clock)."""

    kid: str
    policy: Policy
    ends_at: int
    retires: bool
    warned: int | None


class Snapshot:
    """All versions of one service and environment that verified at one position of the feed."""

    __slots__ = ("_buckets", "_policies", "_records", "_shift", "_warned", "count", "lease_ms", "position")

    def __init__(self, header: Mapping[str, Any], records: bytes) -> None:
        self.position: str = header["position"]
        self.lease_ms: int = header["lease_ms"]
        self.count: int = header["count"]
        self._policies = [read_policy(each) for each in header["policies"]]
        self._warned: dict[str, int] = dict(header["warned"])
        self._records = records
        self._shift, self._buckets = _index(records, self.count)

    def find(self, digest: bytes) -> Entry | None:
        """Find the version with that digest."""
        bucket = int.from_bytes(digest[:4], "big") >> self._shift
        records, start = self._records, self._buckets[bucket] * RECORD
        for place in range(start, self._buckets[bucket + 1] * RECORD, RECORD):
            if records[place : place + 32] == digest:
                padded, policy, flags, ends_at = _TAIL.unpack_from(records, place + 32)
                kid = padded.rstrip(b"\x00").decode("ascii")
                return Entry(kid, self._policies[policy], ends_at, bool(flags & _RETIRES), self._warned.get(kid))
        return None


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
    signed = _SIGNED + hashlib.sha256(view[:-_SIGNATURE]).digest()
    check(public_key(pinned(keys, header.get("kid"))), bytes(view[-_SIGNATURE:]), signed)
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
    )


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
