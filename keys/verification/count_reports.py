"""Write and read what a verifier tells the others of its counts: everything in one text, authenticated, with its time.

Everything in one: whoever can write to Valkey may throw a report away or put an old one back, and both show by its time. Nobody
can leave out or change a part of it.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from keys.crypto.keyring import Keyring
from keys.crypto.report_mac import LENGTH, is_ours, report_mac
from keys.verification.limits import Counts

MAGIC: Final = b"KSCOUNT1"
MOST_TOLD: Final = 20_000  # keys in a report, those used last first: 720 kB
_HEAD: Final = struct.Struct("<8s16sd?")
_RECORD: Final = struct.Struct("<16sIIIII")  # key; minute, in it, in the one before; day, in it


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one verifier had counted at an instant of the database's clock, and whether it missed somebody then."""

    at: float
    misses: bool
    records: bytes

    def __iter__(self) -> Iterator[bytes]:
        records, size = self.records, _RECORD.size
        return (records[place : place + size] for place in range(0, len(records), size))


def write_report(
    verifier: UUID, counted: Iterable[tuple[UUID, Counts]], *, at: float, keyring: Keyring, misses: bool = False
) -> bytes:
    """Write a report; of too many keys those that were not used for the longest time are left out."""
    told = list(counted)
    if len(told) > MOST_TOLD:
        told = heapq.nlargest(MOST_TOLD, told, key=lambda each: each[1].minute)
    content = bytearray(_HEAD.pack(MAGIC, verifier.bytes, at, misses))
    for key, counts in told:
        content += _RECORD.pack(key.bytes, counts.minute, counts.now, counts.before, counts.day, counts.today)
    return report_mac(bytes(content), keyring) + bytes(content)


def read_report(raw: bytes, *, verifier: UUID, keyring: Keyring) -> Report | None:
    """Read what that verifier wrote; None for what it did not."""
    mac, content = raw[:LENGTH], raw[LENGTH:]
    if len(content) < _HEAD.size or (len(content) - _HEAD.size) % _RECORD.size:
        return None
    magic, name, at, misses = _HEAD.unpack_from(content)
    if magic != MAGIC or name != verifier.bytes or not is_ours(content, mac, keyring):
        return None
    return Report(at=at, misses=misses, records=content[_HEAD.size :])


def name_in(record: bytes) -> bytes:
    """Of which key this is."""
    return record[:16]


def read_record(record: bytes) -> tuple[bytes, Counts]:
    """Read a record whole."""
    key, minute, now, before, day, today = _RECORD.unpack(record)
    return key, Counts(minute=minute, now=now, before=before, day=day, today=today)
