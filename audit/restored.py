"""Read from the log what was recovered after a restore, and where another log began."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from django.db import connections

from audit.canonical import JsonValue, parse_strict
from audit.events import LogFollowed, LogRestored
from audit.notes import NoteError, Verifier
from audit.statements import ORIGIN_BEGUN, RECOVERED, Statement, open_statement

_RESTORED = """
SELECT event.payload, leaf.index FROM audit_event event LEFT JOIN audit_leaf leaf ON leaf.event_id = event.id
WHERE event.action = ANY (%s) ORDER BY leaf.index NULLS LAST, event.id
"""
_WAITS = 1 << 63  # what waits comes after every leaf


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """A range of leaves that was taken up again from the tiles, without its private parts; rows follow them at `followed`."""

    from_leaf: int
    upto_leaf: int
    followed: int | None


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A log that ended for ever, after `size` leaves that are the beginning of the one that follows it."""

    origin: str
    size: int
    root: bytes


@dataclass(kw_only=True)
class Restored:
    """What the log says of its own restorations."""

    recoveries: list[Recovery] = field(default_factory=list)
    frozen: list[Frozen] = field(default_factory=list)

    def lost(self, index: int | None) -> bool:
        """Tell whether the private part of this leaf is lost by recovery, on record."""
        return index is not None and any(each.from_leaf <= index < each.upto_leaf for each in self.recoveries)

    def contested(self, index: int | None) -> bool:
        """Tell whether a leaf was written after the restore on rows that did not follow the lost events yet."""
        place = _WAITS if index is None else index
        return any(
            each.upto_leaf <= place <= (_WAITS if each.followed is None else each.followed) for each in self.recoveries
        )


def read_restored(using: str = "default", *, verifiers: Sequence[Verifier] | None = None) -> Restored:
    """Read every restoration; with `verifiers` only those that one of these keys stated."""
    with connections[using].cursor() as cursor:
        cursor.execute(_RESTORED, ([LogRestored.action, LogFollowed.action],))
        rows = cursor.fetchall()
    found = Restored()
    for payload, leaf in rows:
        event = parse_strict(bytes(payload))
        if isinstance(event, dict) and event["action"] == LogFollowed.action:
            found.recoveries = [
                each if each.followed is not None or leaf is None else replace(each, followed=leaf)
                for each in found.recoveries
            ]
            continue
        statement = _statement(event, verifiers)
        if statement is None:
            continue
        if statement.kind == RECOVERED:
            start, end = (int(each) for each in statement.facts)
            found.recoveries.append(Recovery(from_leaf=start, upto_leaf=end, followed=None))
        elif statement.kind == ORIGIN_BEGUN:
            origin, size, root, _ = statement.facts
            found.frozen.append(Frozen(origin=origin, size=int(size), root=bytes.fromhex(root)))
    return found


def _statement(envelope: JsonValue, verifiers: Iterable[Verifier] | None) -> Statement | None:
    details = envelope.get("details") if isinstance(envelope, dict) else None
    text = details.get("statement") if isinstance(details, dict) else None
    try:
        statement, _ = Statement.parse(str(text))
        return statement if verifiers is None else open_statement(str(text), verifiers, kind=statement.kind)
    except NoteError:
        return None
