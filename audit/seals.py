"""Tell where events stand in the sealed log: leaf, and the first checkpoint that covers it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connections


@dataclass(frozen=True, kw_only=True)
class LeafPlace:
    """The final place of one event."""

    leaf: int


@dataclass(frozen=True, kw_only=True)
class Seal(LeafPlace):
    """The same with what proves it; `checkpoint` is the size of the first signed head above it.

    Each costs a page of the log as much as its events do: a list that shows places alone does without.
    """

    leaf_hash: bytes
    checkpoint: int


def seals_of(event_ids: Iterable[int], *, using: str = "default") -> dict[int, Seal]:
    """Return the seals of those that are sealed, in one query."""
    wanted = list(event_ids)
    if not wanted:
        return {}
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT leaf.event_id, leaf.index, leaf.leaf_hash, head.size FROM audit_leaf AS leaf"
            " CROSS JOIN LATERAL (SELECT size FROM audit_checkpoint WHERE size > leaf.index ORDER BY size LIMIT 1) AS head"
            " WHERE leaf.event_id = ANY(%s)",
            [wanted],
        )
        return {
            event: Seal(leaf=leaf, leaf_hash=bytes(leaf_hash), checkpoint=size)
            for event, leaf, leaf_hash, size in cursor.fetchall()
        }
