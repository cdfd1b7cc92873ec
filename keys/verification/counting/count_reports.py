"""Write and read what a verifier tells the others of its counts: everything in one text, authenticated, with its time.

Everything in one: whoever can write to Valkey may throw a report away or put an old one back, and both show by its time. Nobody
can leave out or change a part of it.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from keys.crypto.keyring import Keyring
from keys.crypto.report_mac import LENGTH, is_ours, report_mac
from keys.verification.counting.limits import STEP, STEPS, Counts

MAGIC: Final = b"KSCOUNT2"
MOST_TOLD: Final = 20_000  # keys in a report, those used last first: 580 kB, or 1.6 MB while all are in use
_HEAD: Final = struct.Struct("<8s16sd?")
_RECORD: Final = struct.Struct("<16sII?I")  # key; day, in it; whether steps follow, the newest step
_USED: Final = struct.Struct(f"<{STEPS}I")  # in each step


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one verifier had counted at an instant of the database's clock, and whether it missed somebody then."""

    at: float
    misses: bool
    records: list[bytes]


def write_report(
    verifier: UUID, counted: Iterable[tuple[UUID, Counts]], *, at: float, keyring: Keyring, misses: bool = False
) -> bytes:
    """Write a report; of too many keys those that were not used for the longest time are left out."""
    told = list(counted)
    if len(told) > MOST_TOLD:
        told = heapq.nlargest(MOST_TOLD, told, key=lambda each: each[1].window[0])
    content = bytearray(_HEAD.pack(MAGIC, verifier.bytes, at, misses))
    for key, counts in told:
        is_recent = counts.is_recent(int(at // STEP))
        newest, used = counts.window
        content += _RECORD.pack(key.bytes, counts.day, counts.today, is_recent, newest)
        if is_recent:
            content += _USED.pack(*used)
    return report_mac(bytes(content), keyring) + bytes(content)


def read_report(raw: bytes, *, verifier: UUID, keyring: Keyring) -> Report | None:
    """Read what that verifier wrote; None for what it did not."""
    mac, content = raw[:LENGTH], raw[LENGTH:]
    if len(content) < _HEAD.size:
        return None
    magic, name, at, misses = _HEAD.unpack_from(content)
    if magic != MAGIC or name != verifier.bytes or not is_ours(content, mac, keyring):
        return None
    records, begin = [], _HEAD.size
    while begin < len(content):
        end = begin + _RECORD.size
        if _RECORD.unpack_from(content, begin)[3]:
            end += _USED.size
        records.append(content[begin:end])
        begin = end
    return Report(at=at, misses=misses, records=records)


def name_in(record: bytes) -> bytes:
    """Of which key this is."""
    return record[:16]


def read_record(record: bytes) -> tuple[bytes, Counts]:
    """Read a record whole."""
    key, day, today, is_recent, newest = _RECORD.unpack_from(record)
    used = list(_USED.unpack_from(record, _RECORD.size)) if is_recent else [0] * STEPS
    return key, Counts(window=(newest, used), day=day, today=today)
