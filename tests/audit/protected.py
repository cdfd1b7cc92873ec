"""Write below the log's own functions: rows of every append-only table, and events that tell of acts of raw SQL."""

import uuid
from typing import Any

import psycopg

from audit.canonical import canonical_json
from audit.models import AuditEvent

REFUSED = (psycopg.errors.InsufficientPrivilege,)
LOG_TABLES = ("audit_event", "audit_private", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature")


def fill(superuser: "psycopg.Connection[Any]", event: AuditEvent) -> None:
    """Put one row into every append-only table, so that a row trigger has something to refuse."""
    superuser.execute("INSERT INTO audit_leaf VALUES (0, %s, %s)", (event.id, b"h" * 32))
    superuser.execute("INSERT INTO audit_node (level, index, hash) VALUES (0, 0, %s)", (b"h" * 32,))
    superuser.execute("INSERT INTO audit_checkpoint VALUES (65536, %s, 'note', now())", (b"h" * 32,))
    superuser.execute(
        "INSERT INTO audit_cosignature (checkpoint_id, witness, signature, signed_at) VALUES (65536, 'w', 's', now())"
    )


def raw_event(**changed: object) -> bytes:
    """Encode an event that no code of ours made."""
    envelope = {
        "uid": str(uuid.uuid4()), "time": "2026-01-01T00:00:00.000Z", "action": "a.b", "outcome": "success",
        "actor": {"type": "job", "id": "x"}, "target": {"type": "t", "id": "1"}, "environment": "",
        "request": {"id": ""},
    }  # fmt: skip
    return canonical_json(envelope | changed)


def tell(session: "psycopg.Connection[Any]", action: str, kind: str, target: object) -> None:
    payload = raw_event(action=action, target={"type": kind, "id": str(target)})
    session.execute("INSERT INTO audit_event (payload) VALUES (%s)", (payload,))


def place(session: "psycopg.Connection[Any]", first: int, upto: int) -> int:
    with session.transaction():
        row = session.execute(
            "INSERT INTO audit_hold (from_leaf, upto_leaf, reason, placed_at, placed_by, lifted_by)"
            " VALUES (%s, %s, 'court', now(), 'x', '') RETURNING id",
            (first, upto),
        ).fetchone()
        assert row is not None
        tell(session, "hold.placed", "hold", row[0])
    return int(row[0])
