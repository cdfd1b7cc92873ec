"""Recompute the whole log from the payloads in the database, and say what does not hold, with the first bad index.

Consistency proofs alone do not see an edited old payload: only hashing everything again does. One pass in the order of
the leaves, in pages; what is remembered is the peaks of the tree and the checkpoints.
"""

from __future__ import annotations

import heapq
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Min

from audit.canonical import CanonicalError, JsonValue, parse_strict
from audit.checkpoints import backlog
from audit.envelope import commitment
from audit.erasures import read_erasures
from audit.findings import Inspection
from audit.keeping_rules import PRUNE_STEP
from audit.key_links import stored_links
from audit.log_keys import linked
from audit.merkle import HASH_SIZE, NodeId, Tree, full_subtrees, leaf_hash
from audit.models import AuditArchive, AuditCheckpoint, AuditLeaf
from audit.notes import NoteError, Verifier, open_checkpoint
from audit.pins import Pins
from audit.restored import read_restored
from audit.sealer import fetch_nodes
from audit.tiles import WIDTH, TileMissing

PAGE = 2_000
_TIME_LENGTH = len("2026-01-01T00:00:00.000Z")

_COLUMNS = (
    "uid", "occurred_at", "actor_type", "actor_id", "action", "target_type", "target_id", "environment", "outcome",
    "request_id",
)  # fmt: skip
# As texts, exactly: comparing those is much cheaper than making objects of both sides.
_AS_TEXT = {
    "uid": "event.uid::text",
    "occurred_at": """to_char(event.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}
_SEALED = f"""
SELECT leaf.index, leaf.event_id, leaf.leaf_hash, event.payload,
    {", ".join(_AS_TEXT.get(each, f"event.{each}") for each in _COLUMNS)}, private.salt, private.body
FROM audit_leaf leaf
LEFT JOIN audit_event event ON event.id = leaf.event_id
LEFT JOIN audit_private private ON private.event_id = leaf.event_id
WHERE leaf.index >= %s ORDER BY leaf.index LIMIT %s
"""  # noqa: S608 - constants
# Whatever is in the log is sealed, or waits; whatever waits is in the log. Twins need a dropped constraint.
_STRAYS = {
    "unqueued": "SELECT id FROM audit_event event WHERE NOT EXISTS (SELECT FROM audit_leaf WHERE event_id = event.id)"
    " AND NOT EXISTS (SELECT FROM audit_pending WHERE event_id = event.id) ORDER BY id LIMIT 20",
    "vanished": "SELECT event_id FROM audit_pending pending"
    " WHERE NOT EXISTS (SELECT FROM audit_event WHERE id = pending.event_id) ORDER BY event_id LIMIT 20",
    "queued-again": "SELECT event_id FROM audit_pending pending"
    " WHERE EXISTS (SELECT FROM audit_leaf WHERE event_id = pending.event_id) ORDER BY event_id LIMIT 20",
    "twin": "SELECT max(id) FROM audit_event GROUP BY uid HAVING count(*) > 1 ORDER BY 1 LIMIT 20",
    "private-orphan": "SELECT event_id FROM audit_private private"
    " WHERE NOT EXISTS (SELECT FROM audit_event WHERE id = private.event_id) ORDER BY event_id LIMIT 20",
}
_STRAY_WORDS = {
    "unqueued": "is in no leaf and not in the queue",
    "vanished": "was deleted before it was sealed",
    "queued-again": "is sealed, and in the queue again",
    "twin": "has the uid of another",
    "private-orphan": "is gone, its private part is not",
}


@dataclass(frozen=True, kw_only=True)
class _Head:
    """A head to compare with; `problem` says why it vouches for nothing."""

    size: int
    source: str
    root: bytes = b""
    problem: str = ""


def inspect_log(
    pins: Pins, *, using: str = "auditor", progress: Callable[[int], None] = lambda checked: None
) -> Inspection:
    """Hash everything again and compare with leaves, nodes, checkpoints, columns, private parts, tiles and kept heads.

    Reads one snapshot in a transaction of its own: what is sealed meanwhile belongs to the next look. `progress` is told
    after each page how many leaves were checked.
    """
    with transaction.atomic(using=using, durable=True):
        with connections[using].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
        return _Pass(pins, using, progress).run()


class _Pass:
    """One walk over the leaves, beside one over the heads."""

    def __init__(self, pins: Pins, using: str, progress: Callable[[int], None]) -> None:
        self.pins, self.using, self.progress = pins, using, progress
        self.found = Inspection()
        self.tree = Tree()
        self.vouched = 0
        self.expected = 0
        self.gap = self.fork = False
        self.tile = b""
        self.nodes: dict[NodeId, bytes] = {}
        self.erased = read_erasures(using)
        self.verifiers = self._followed_keys()
        self.restored = read_restored(using, verifiers=self.verifiers)
        self.heads = heapq.merge(self._kept_heads(), self._stored_heads(), key=lambda head: head.size)
        self.head = next(self.heads, None)

    def run(self) -> Inspection:
        self._begin_after_what_was_pruned()
        self._compare_heads()
        for row in self._leaves():
            self._leaf(*row)
            if len(self.nodes) >= PAGE:
                self._compare_nodes()
        self._compare_nodes()
        found = self.found
        found.size, found.root = self.tree.size, self.tree.root().hex()
        if self.head is not None and not self.gap:
            found.add("truncated", f"{self.head.source} is of {self.head.size} leaves, not {found.size}", found.size)
        elif self.vouched < found.size and not (self.fork or self.gap):
            words = f"no checkpoint vouches for the leaves from {self.vouched} on"
            found.add("unsigned", words, self.vouched, found.size)
        self._look_for_strays()
        late = backlog(self.using)
        found.waiting = late.waiting
        if late.is_interrupted:
            found.add("interrupted", "the database was restored, and its rows do not follow the log yet")
        elif late.is_late:
            found.add("unsealed", f"an event has waited {late.age.total_seconds():.0f} s to be sealed")
        return found

    def _leaf(self, index: int, event_id: int, stored: bytes, payload: bytes | None, *rest: Any) -> None:
        """Look at one leaf (Any: the projected columns, and the private part)."""
        if index != self.expected:
            self.gap = True
            self.found.add("gap", f"leaves {self.expected} to {index - 1} are missing", self.expected)
        self.expected = index + 1
        stored = bytes(stored)
        self._compare_tile(index, stored)
        if payload is None:
            self.found.add("missing", f"event {event_id} is gone", index)
        else:
            if leaf_hash(bytes(payload)) != stored:
                self.found.add("payload", f"event {event_id} is not what was hashed", index)
            self._compare_columns(index, event_id, bytes(payload), rest)
        if not self.gap:
            # With what was sealed, not with what is there: so later leaves are judged by themselves.
            self.nodes.update(self.tree.append(stored))
            self._compare_heads()

    def _compare_columns(self, index: int, event_id: int, payload: bytes, rest: Sequence[Any]) -> None:
        """Compare the projected columns and the private part with the payload (Any: columns of several types)."""
        *columns, salt, body = rest
        try:
            envelope = parse_strict(payload)
            told = _projection(envelope)
        except (CanonicalError, ValueError):
            self.found.add("payload", f"event {event_id} is no envelope", index)
            return
        if columns != told:
            for name, stored, said in zip(_COLUMNS, columns, told, strict=True):
                if stored != said:
                    self.found.add("column", f"event {event_id}: {name} is not what the payload says", index)
        is_erased = self.erased.covers(told[0], index)
        if salt is None or body is None:
            if is_erased:
                self.found.erased += 1
            elif self.restored.lost(index):
                self.found.lost += 1
            else:
                words = f"event {event_id}: its private part is gone, and no pii.erased names it"
                self.found.add("private", words, index)
        elif is_erased:
            words = f"event {event_id}: its private part is there again, though it was erased on record"
            self.found.add("erasure", words, index)
        elif not hmac.compare_digest(
            commitment(bytes(salt), bytes(body)), _at(_object(envelope, "private"), "commitment")
        ):
            self.found.add("private", f"event {event_id}: its private part is not the recorded one", index)

    def _compare_heads(self) -> None:
        """Compare the root at this size with every head of this size."""
        while self.head is not None and self.head.size <= self.tree.size:
            head, self.head = self.head, next(self.heads, None)
            if head.size < self.found.first_leaf:
                continue  # its leaves were pruned
            self.found.checkpoints += 1
            words = head.problem
            if not words and head.root != self.tree.root():
                words = f"the first {head.size} leaves do not have the root of {head.source}"
            if not words:
                self.vouched = self.vouched if self.fork else head.size
            elif head.problem:
                self.found.add("checkpoint", words, self.vouched, head.size)
            elif not self.fork:  # all later heads say the same
                self.fork = True
                self.found.add("root", f"{words}; the first {self.vouched} do have theirs", self.vouched, head.size)

    def _compare_nodes(self) -> None:
        """Compare the computed subtrees of a page with the stored ones."""
        with connections[self.using].cursor() as cursor:
            stored = fetch_nodes(cursor, self.nodes)
        bad = {node for node, value in self.nodes.items() if stored.get(node) != value}
        for level, index in sorted(bad):
            # Above a bad subtree all are bad: the lowest says where.
            if (level - 1, 2 * index) not in bad and (level - 1, 2 * index + 1) not in bad:
                words = "is missing" if (level, index) not in stored else "is not that of its leaves"
                self.found.add("node", f"the stored hash of this subtree {words}", index << level, (index + 1) << level)
        self.nodes.clear()

    def _compare_tile(self, index: int, leaf: bytes) -> None:
        """Compare a leaf with the sealer's copy, which says exactly where a rewritten log begins to differ."""
        if self.pins.tiles is None or self.pins.tiles_head is None or index >= self.pins.tiles_head.size:
            return
        place = index % WIDTH
        if place == 0 or not self.tile:
            width = min(WIDTH, self.pins.tiles_head.size - index + place)
            try:
                self.tile = self.pins.tiles.read(0, index // WIDTH, width)
            except TileMissing as missing:
                self.found.add("tile", str(missing), index)
                self.tile = b""
        told = self.tile[place * HASH_SIZE : (place + 1) * HASH_SIZE]
        if told and told != leaf:
            self.found.add("tile", "the sealer's copy has another leaf here", index)

    def _leaves(self) -> Iterator[tuple[Any, ...]]:
        """Yield the leaves in order, with their events (Any: a row)."""
        start = self.expected
        while True:
            with connections[self.using].cursor() as cursor:
                cursor.execute(_SEALED, (start, PAGE))
                page = cursor.fetchall()
            yield from page
            self.progress(self.expected)
            if len(page) < PAGE:
                return
            start = page[-1][0] + 1

    def _stored_heads(self) -> Iterator[_Head]:
        """Yield the database's checkpoints, each with what speaks against it."""
        size = -1
        while True:
            page = list(AuditCheckpoint.objects.using(self.using).filter(size__gt=size).order_by("size")[:PAGE])
            for each in page:
                if (head := self._judged(each)) is not None:
                    yield head
            if len(page) < PAGE:
                return
            size = page[-1].size

    def _is_of_frozen_log(self, stored: AuditCheckpoint) -> bool:
        """Tell whether a checkpoint is of the log that ours began with, by a name whose key is not pinned."""
        origin = stored.note.partition("\n")[0]
        return origin not in {each.name for each in self.verifiers} and any(
            each.origin == origin and stored.size <= each.size for each in self.restored.frozen
        )

    def _followed_keys(self) -> list[Verifier]:
        """Return the pinned keys and those that the log itself leads to."""
        links, forged = stored_links(self.using)
        for index in forged:
            self.found.add("key", "this names a key of the log, and the log's keys did not sign it", index)
        try:
            return linked(self.pins.verifiers, links)
        except NoteError as error:
            self.found.add("key", f"{error}")
            return list(self.pins.verifiers)

    def _judged(self, stored: AuditCheckpoint) -> _Head | None:
        """Say what a checkpoint vouches for; None when it is of a log that ended, and of another pin."""
        source = f"the checkpoint of {stored.size}"
        try:
            told = open_checkpoint(stored.note, self.verifiers)
        except NoteError as error:
            if self._is_of_frozen_log(stored):
                return None
            return _Head(size=stored.size, source=source, problem=f"{source} vouches for nothing: {error}")
        if (told.size, told.root) != (stored.size, bytes(stored.root)):
            return _Head(size=stored.size, source=source, problem=f"{source} is not what its signed note says")
        return _Head(size=told.size, source=source, root=told.root)

    def _kept_heads(self) -> list[_Head]:
        kept = [_Head(size=each.size, root=each.root, source="a checkpoint that was kept") for each in self.pins.heads]
        if (head := self.pins.tiles_head) is not None:
            kept.append(_Head(size=head.size, root=head.root, source="the head of the sealer's copy"))
        return sorted(kept, key=lambda each: each.size)

    def _begin_after_what_was_pruned(self) -> None:
        """Take the stored nodes for archived leaves; any other missing beginning is a gap."""
        first = AuditLeaf.objects.using(self.using).aggregate(first=Min("index"))["first"]
        if not first or first % PRUNE_STEP:
            return
        upto = 0
        verified = AuditArchive.objects.using(self.using).filter(verified_at__isnull=False).order_by("from_leaf")
        for start, end in verified.values_list("from_leaf", "upto_leaf"):
            upto = max(upto, end) if start <= upto else upto
        wanted = full_subtrees(0, first)
        with connections[self.using].cursor() as cursor:
            stored = fetch_nodes(cursor, wanted)
        if first <= upto and stored.keys() == set(wanted):
            self.tree = Tree(first, [stored[node] for node in wanted])
            self.found.first_leaf = self.expected = first

    def _look_for_strays(self) -> None:
        for code, query in _STRAYS.items():
            with connections[self.using].cursor() as cursor:
                cursor.execute(query)
                for (event_id,) in cursor.fetchall():
                    self.found.add(code, f"event {event_id} {_STRAY_WORDS[code]}")


def _projection(envelope: JsonValue) -> list[str]:
    """Return what _COLUMNS must say; raise ValueError when uid or time are none."""
    uid, time = _at(envelope, "uid"), _at(envelope, "time")
    if len(time) != _TIME_LENGTH or not time.endswith("Z"):  # milliseconds, as every event has them
        time = datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    else:
        time = f"{time[:-1]}000Z"
    actor, target, request = _object(envelope, "actor"), _object(envelope, "target"), _object(envelope, "request")
    return [
        str(UUID(uid)),
        time,
        _at(actor, "type"),
        _at(actor, "id"),
        _at(envelope, "action"),
        _at(target, "type"),
        _at(target, "id"),
        _at(envelope, "environment"),
        _at(envelope, "outcome"),
        _at(request, "id"),
    ]


def _object(value: JsonValue, name: str) -> JsonValue:
    """Return what is called `name`, or None."""
    return value.get(name) if isinstance(value, dict) else None


def _at(value: JsonValue, name: str) -> str:
    """Return the text that is called `name`, or an empty one."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
