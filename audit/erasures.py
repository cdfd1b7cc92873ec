"""Read from the log which private parts may be missing: those that an erasure named, and those whose period was over."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db import connections

from audit.canonical import JsonValue, parse_strict
from audit.keeping_events import PrivatePartErased, PrivatePartsExpired


@dataclass(kw_only=True)
class Erasures:
    """What the log says is erased: single events by uid, and ranges of leaves."""

    uids: set[str] = field(default_factory=set)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def covers(self, uid: str, index: int | None) -> bool:
        """Tell whether the private part of this event, at this leaf if it is sealed, is gone on record."""
        if uid in self.uids:
            return True
        place = -1 if index is None else bisect_right(self.starts, index) - 1
        return place >= 0 and index is not None and index < self.ends[place]


def read_erasures(using: str = "default") -> Erasures:
    """Read every erasure that is in the database's log.

    What erases is always sealed after what it erases, so a pruned erasure is about pruned events only.
    """
    found = Erasures()
    ranges = []
    for envelope in _erasing(using):
        details = envelope["details"]
        assert isinstance(details, dict)
        if envelope["action"] == PrivatePartErased.action:
            found.uids.update(named_in(details))
        else:
            ranges.append((_number(details["from_leaf"]), _number(details["upto_leaf"])))
    for start, end in _merged(ranges):
        found.starts.append(start)
        found.ends.append(end)
    return found


def named_in(details: JsonValue) -> list[str]:
    """Return the events that one pii.erased names."""
    events = details.get("events") if isinstance(details, dict) else None
    return [str(each) for each in events] if isinstance(events, list) else []


def _erasing(using: str) -> Iterator[dict[str, JsonValue]]:
    actions = [PrivatePartErased.action, PrivatePartsExpired.action]
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT payload FROM audit_event WHERE action = ANY (%s) ORDER BY id", (actions,))
        for (payload,) in cursor.fetchall():
            envelope = parse_strict(bytes(payload))
            assert isinstance(envelope, dict)
            yield envelope


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _number(value: JsonValue) -> int:
    assert isinstance(value, int)
    return value
