"""Find the events about the log's keys in the database, and prove each, so that one pinned key leads to the others."""

from __future__ import annotations

from typing import Any

from django.db import connections

from audit.log_keys import ANNOUNCED, RETIRED, keys_named
from audit.merkle import inclusion_ranges, nodes_of, proof_of
from audit.notes import Note, NoteError, Proof, Verifier
from audit.sealer import fetch_nodes

_EVENTS = """
SELECT leaf.index, event.payload FROM audit_event event JOIN audit_leaf leaf ON leaf.event_id = event.id
WHERE event.action = ANY (%s) ORDER BY leaf.index
"""
_HEADS = "SELECT size, note FROM audit_checkpoint WHERE size > %s ORDER BY size LIMIT 1000"


def stored_links(using: str) -> tuple[list[str], list[int]]:
    """Return the links that the database can give, and the leaves of events that no keys signed."""
    links, forged = [], []
    with connections[using].cursor() as cursor:
        cursor.execute(_EVENTS, ([ANNOUNCED, RETIRED],))
        for index, payload in cursor.fetchall():
            try:
                _, older, newer = keys_named(bytes(payload))
            except NoteError:
                forged.append(index)
                continue
            if (proof := key_proof(cursor, index, bytes(payload), older, newer)) is not None:
                links.append(proof.text())
    return links, forged


def key_proof(cursor: Any, index: int, payload: bytes, older: Verifier, newer: Verifier) -> Proof | None:
    """Prove an event under the first checkpoint that both keys signed, so that either leads to the other.

    None while there is no such checkpoint or a node is missing (Any: Django's cursor is untyped).
    """
    cursor.execute(_HEADS, (index,))
    size, note = next((row for row in cursor.fetchall() if _both_signed(row[1], older, newer)), (0, ""))
    if not size:
        return None
    ranges = inclusion_ranges(index, size)
    wanted = nodes_of(ranges)
    nodes = fetch_nodes(cursor, wanted)
    if nodes.keys() != wanted:
        return None
    hashes = tuple(proof_of(ranges, nodes.__getitem__))
    return Proof(index=index, hashes=hashes, checkpoint=note, extra=payload)


def _both_signed(text: str, older: Verifier, newer: Verifier) -> bool:
    try:
        note = Note.parse(text)
        for each in (older, newer):
            note.verified_by(each)
    except NoteError:
        return False
    return True
