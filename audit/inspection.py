"""Recompute the whole log from the payloads in the database, and say what does not hold, with the first bad index.

Consistency proofs alone do not see an edited old payload: only hashing everything again does. One pass in the order of
the leaves, in pages; what is remembered is the peaks of the tree and the checkpoints.
"""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db import connections, transaction
from django.db.models import Min

from audit.binary import fetch_rows
from audit.checkpoints import backlog
from audit.envelope import commitment
from audit.erasures import read_erasures
from audit.findings import Inspection
from audit.keeping_rules import PRUNE_STEP
from audit.key_links import stored_links
from audit.log_keys import linked
from audit.merkle import HASH_SIZE, Tree, full_subtrees, leaf_hashes
from audit.models import AuditArchive, AuditCheckpoint, AuditLeaf
from audit.notes import NoteError, Verifier, open_checkpoint
from audit.pins import Pins
from audit.projection import COLUMNS, read_payload
from audit.restored import read_restored
from audit.sealer import fetch_nodes
from audit.tiles import WIDTH, TileMissing

PAGE = 2_048
_TURN = 128
# As texts, exactly: comparing those is much cheaper than making objects of both sides.
_AS_TEXT = {
    "uid": "event.uid::text",
    "occurred_at": """to_char(event.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}
_SEALED = f"""
SELECT leaf.index, leaf.event_id, leaf.leaf_hash, event.payload, private.salt, private.body,
    {", ".join(_AS_TEXT.get(each, f"event.{each}") for each in COLUMNS)}
FROM audit_leaf leaf
LEFT JOIN audit_event event ON event.id = leaf.event_id
LEFT JOIN audit_private private ON private.event_id = leaf.event_id
WHERE leaf.index >= %s ORDER BY leaf.index LIMIT %s
"""  # noqa: S608 - constants
# A row of each level at once: that each hash is there, once, and has its length tells them apart in the joined bytes.
_NODES = """
SELECT run.level, node.count, node.is_sized, node.joined
FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[]) AS run (level, first, last)
CROSS JOIN LATERAL (
    SELECT count(DISTINCT index), bool_and(length(hash) = 32) AS is_sized, string_agg(hash, ''::bytea ORDER BY index) AS joined
    FROM audit_node WHERE level = run.level AND index BETWEEN run.first AND run.last
) AS node
"""
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


_Row: TypeAlias = tuple[Any, ...]
"""Index, event, leaf hash, payload, salt, body, and COLUMNS (Any: columns of several types)."""


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
            # Pages are short: what workers take off our hands is less than what it costs to start them.
            cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
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
        self.erased = read_erasures(using)
        self.erases = bool(self.erased.uids or self.erased.starts)
        self.verifiers = self._followed_keys()
        self.restored = read_restored(using, verifiers=self.verifiers)
        self.heads = heapq.merge(self._kept_heads(), self._stored_heads(), key=lambda head: head.size)
        self.head = next(self.heads, None)

    def run(self) -> Inspection:
        self._begin_after_what_was_pruned()
        self._compare_heads()
        for page in self._pages():
            for run in _runs(page):
                self._run(run)
            self.progress(self.expected)
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

    def _run(self, rows: Sequence[_Row]) -> None:
        """Look at leaves without a gap between them."""
        start = rows[0][0]
        if start != self.expected:
            self.gap = True
            self.found.add("gap", f"leaves {self.expected} to {start - 1} are missing", self.expected)
        self.expected = start + len(rows)
        stored = [row[2] for row in rows]
        self._compare_tiles(start, stored)
        hashes = leaf_hashes(row[3] or b"" for row in rows)
        for at in range(0, len(rows), _TURN):
            for row, leaf in zip(rows[at : at + _TURN], hashes[at : at + _TURN], strict=True):
                if row[3] is None or leaf != row[2] or not self._is_whole(row):
                    self._look_closely(row, leaf)
            time.sleep(0)  # a turn for the thread that takes in the next page
        if not self.gap:
            # With what was sealed, not with what is there: so later leaves are judged by themselves.
            self._grow(stored)

    def _is_whole(self, row: _Row) -> bool:
        """Tell whether an event that is what was hashed is also as its payload says, with its private part."""
        salt, body = row[4], row[5]
        try:
            told, committed = read_payload(row[3])
        except ValueError:
            return False
        return (
            told == row[6:]
            and salt is not None
            and body is not None
            and hashlib.sha256(salt + body).hexdigest() == committed
            and not (self.erases and self.erased.covers(told[-1], row[0]))
        )

    def _look_closely(self, row: _Row, leaf: bytes) -> None:
        """Say what is wrong with an event, or count its private part among those that are missing on record."""
        index, event_id, stored, payload, salt, body, *columns = row
        if payload is None:
            self.found.add("missing", f"event {event_id} is gone", index)
            return
        if leaf != stored:
            self.found.add("payload", f"event {event_id} is not what was hashed", index)
        try:
            told, committed = read_payload(payload)
        except ValueError:
            self.found.add("payload", f"event {event_id} is no envelope", index)
            return
        for name, column, said in zip(COLUMNS, columns, told, strict=True):
            if column != said:
                self.found.add("column", f"event {event_id}: {name} is not what the payload says", index)
        is_erased = self.erased.covers(told[-1], index)
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
        elif commitment(salt, body) != committed:
            self.found.add("private", f"event {event_id}: its private part is not the recorded one", index)

    def _grow(self, leaves: Sequence[bytes]) -> None:
        """Add leaves to the tree, and compare its subtrees with the stored ones and its root with every head on the way."""
        nodes: dict[int, tuple[int, list[bytes]]] = {}
        at = 0
        while at < len(leaves):
            upto = len(leaves) if self.head is None else min(len(leaves), at + self.head.size - self.tree.size)
            for level, index, hashes in self.tree.grow(leaves[at:upto]):
                nodes.setdefault(level, (index, []))[1].extend(hashes)
            at = upto
            self._compare_heads()
        self._compare_nodes(nodes)

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

    def _compare_nodes(self, nodes: dict[int, tuple[int, list[bytes]]]) -> None:
        """Compare computed subtrees (level -> first index and hashes) with the stored ones."""
        runs = [(level, first, first + len(hashes) - 1) for level, (first, hashes) in nodes.items()]
        told = fetch_rows(_NODES, [list(each) for each in zip(*runs, strict=True)] or [[], [], []], using=self.using)
        whole = {level: joined for level, count, is_sized, joined in told if is_sized and count == len(nodes[level][1])}
        if all(whole.get(level) == b"".join(hashes) for level, (_, hashes) in nodes.items()):
            return
        expected = {
            (level, place): node for level, (first, hashes) in nodes.items() for place, node in enumerate(hashes, first)
        }
        with connections[self.using].cursor() as cursor:
            stored = fetch_nodes(cursor, expected)
        bad = {node for node, value in expected.items() if stored.get(node) != value}
        for level, index in sorted(bad):
            # Above a bad subtree all are bad: the lowest says where.
            if (level - 1, 2 * index) not in bad and (level - 1, 2 * index + 1) not in bad:
                words = "is missing" if (level, index) not in stored else "is not that of its leaves"
                self.found.add("node", f"the stored hash of this subtree {words}", index << level, (index + 1) << level)

    def _compare_tiles(self, start: int, leaves: Sequence[bytes]) -> None:
        """Compare leaves with the sealer's copy, which says exactly where a rewritten log begins to differ."""
        tiles, head = self.pins.tiles, self.pins.tiles_head
        if tiles is None or head is None:
            return
        end = min(start + len(leaves), head.size)
        for place in range(start // WIDTH * WIDTH, end, WIDTH):
            first, upto = max(place, start), min(place + WIDTH, end)
            try:
                tile = tiles.read(0, place // WIDTH, min(WIDTH, head.size - place))
            except TileMissing as missing:
                self.found.add("tile", str(missing), first)
                continue
            ours = leaves[first - start : upto - start]
            told = tile[(first - place) * HASH_SIZE : (upto - place) * HASH_SIZE]
            if told == b"".join(ours):
                continue
            for number, leaf in enumerate(ours):
                if told[number * HASH_SIZE : (number + 1) * HASH_SIZE] != leaf:
                    self.found.add("tile", "the sealer's copy has another leaf here", first + number)

    def _pages(self) -> Iterator[list[_Row]]:
        """Yield the leaves in order, with their events; while one page is looked at, the database finds the next."""
        connection = connections[self.using]  # of this thread, and of its snapshot
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(fetch_rows, _SEALED, (self.expected, PAGE), using=connection)
            while page := coming.result():
                coming = ahead.submit(fetch_rows, _SEALED, (page[-1][0] + 1, PAGE), using=connection)
                yield page

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


def _runs(page: list[_Row]) -> Iterator[list[_Row]]:
    """Part a page where leaves are missing; nearly always it is whole."""
    indexes = [row[0] for row in page]
    if indexes == list(range(indexes[0], indexes[0] + len(page))):
        yield page
        return
    cuts = [place for place in range(1, len(page)) if indexes[place] != indexes[place - 1] + 1]
    for start, end in zip([0, *cuts], [*cuts, len(page)], strict=True):
        yield page[start:end]
