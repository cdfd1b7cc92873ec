"""Make the same changes as changes.py by prepared statements alone, their events made beforehand: what the database can do.

Two cores are busy with Python long before a lock or a commit is what limits; here they are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import connection

from audit.envelope import Sealed, enclose
from benchmarks.audit.changes import ACTOR
from keys.events import ServiceChanged
from keys.models import Service

MOST_PER_SECOND = 1_200  # more than one writer commits while sixteen do


def audited(services: Sequence[Service], seconds: float) -> Callable[[int], None]:
    """Return one change with its event, as audit.log writes it."""
    cursor, events = _cursor(), _events(services, seconds)

    def change(number: int) -> None:
        event = events[number]
        _begin(cursor, services[number % len(services)], f"change {number}")
        cursor.execute("SELECT audit_record(%s, %s, %s)", (event.payload, event.salt, event.body), prepare=True)
        cursor.execute("COMMIT", prepare=True)

    return change


def with_plain_insert(services: Sequence[Service], seconds: float) -> Callable[[int], None]:
    """Return one change with a row in an ordinary table."""
    cursor = _cursor()
    facts = {"outcome": "success", "request": ACTOR.http.id, "route": ACTOR.http.route, "ip": ACTOR.http.ip}
    whole = json.dumps(facts | {"change": {"description": ["what it said before", "what it says now"]}})

    def change(number: int) -> None:
        service = services[number % len(services)]
        _begin(cursor, service, f"change {number}")
        cursor.execute(
            "INSERT INTO plain_log (at, actor, action, target_type, target_id, facts)"
            " VALUES (now(), %s, 'service.changed', 'service', %s, %s)",
            (ACTOR.id, str(service.pk), whole),
            prepare=True,
        )
        cursor.execute("COMMIT", prepare=True)

    return change


def with_hash_chain(services: Sequence[Service], seconds: float) -> Callable[[int], None]:
    """Return one change chained to the event before it."""
    cursor, events = _cursor(), _events(services, seconds)

    def change(number: int) -> None:
        payload = events[number].payload
        _begin(cursor, services[number % len(services)], f"change {number}")
        cursor.execute("SELECT hash FROM chain_head FOR UPDATE", prepare=True)
        link = hashlib.sha256(cursor.fetchone()[0] + payload).digest()
        cursor.execute(
            "WITH head AS (UPDATE chain_head SET hash = %s) INSERT INTO chain_log (payload, hash) VALUES (%s, %s)",
            (link, payload, link),
            prepare=True,
        )
        cursor.execute("COMMIT", prepare=True)

    return change


def _cursor() -> Any:
    """Return a cursor past Django, of Django's connection (Any: rows of any shape)."""
    connection.ensure_connection()
    return psycopg.Cursor(connection.connection)


def _begin(cursor: Any, service: Service, words: str) -> None:
    cursor.execute("BEGIN", prepare=True)
    cursor.execute("SELECT description FROM keys_service WHERE id = %s FOR NO KEY UPDATE", (service.pk,), prepare=True)
    cursor.execute("UPDATE keys_service SET description = %s WHERE id = %s", (words, service.pk), prepare=True)


def _events(services: Sequence[Service], seconds: float) -> list[Sealed]:
    at = datetime.now(UTC)
    change = {"description": ("what it said before", "what it says now")}
    return [
        enclose(ServiceChanged(target_id=str(services[n % len(services)].pk), change=change), actor=ACTOR, at=at)
        for n in range(int(seconds * MOST_PER_SECOND))
    ]
