"""Make one business change in several ways: on the audit log, in a plain table, in a hash chain, by another library, not at all.

The change is the smallest operation there is: lock a service's row, ask the database for the time, change the description
while nobody else did. Real operations also read who may; they cost more, so the log's part of them is smaller than here.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from django.db import connection, transaction

from audit import clock
from audit.actor import Actor, ActorKind, Auth, RequestFacts
from audit.envelope import enclose
from benchmarks.cluster import Cluster
from keys.events import ServiceChanged, ServiceCreated, TeamCreated
from keys.models import Service, Team
from keys.operations import insert, locked, operation, update

Change: TypeAlias = Callable[[Service, str], None]

ACTOR = Actor(
    kind=ActorKind.PERSON,
    id="5d6c5a4e-0000-4000-8000-00000000a11c",
    name="Alice Adams",
    session="5e" * 32,
    auth=Auth(
        mfa=True, methods=("password", "passkey"), device="0b6c5a4e-0000-4000-8000-0000000000d1", assurance="aal2"
    ),
    http=RequestFacts(
        id="01890c24905a7cbd8f4e6a1f0a1b2c3d",
        method="POST",
        route="/services/<slug:slug>/change",
        ip="192.0.2.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    ),
)
# Tables that someone would make who wants no more than to know afterwards: readable by target, and by time through the id.
PLAIN_TABLES = """
CREATE TABLE plain_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, actor text NOT NULL, action text NOT NULL,
    target_type text NOT NULL, target_id text NOT NULL, facts jsonb NOT NULL
);
CREATE INDEX plain_log_target ON plain_log (target_type, target_id, at);
CREATE TABLE chain_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload bytea NOT NULL, hash bytea NOT NULL
);
INSERT INTO chain_log (payload, hash) VALUES ('', sha256(''));
CREATE TABLE chain_head (id integer PRIMARY KEY CHECK (id = 1), hash bytea NOT NULL);
INSERT INTO chain_head VALUES (1, sha256(''));
GRANT SELECT, INSERT, UPDATE ON plain_log, chain_log, chain_head TO keystead_application;
"""


@operation
def audited(service: Service, words: str) -> None:
    """Keystead's way, as every operation of it does."""
    service = locked(service)
    update(service, ServiceChanged, actor=ACTOR, at=clock.now(), columns={"description": words})


@operation
def unaudited(service: Service, words: str) -> None:
    """The same change, and nothing is told of it."""
    _changed(service, words)


@operation
def with_plain_insert(service: Service, words: str) -> None:
    """The same change, and one row in an ordinary table."""
    service, at, before = _changed(service, words)
    facts = {
        "outcome": "success",
        "request": ACTOR.http.id,
        "route": ACTOR.http.route,
        "ip": ACTOR.http.ip,
        "change": {"description": [before, words]},
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO plain_log (at, actor, action, target_type, target_id, facts) VALUES (%s, %s, %s, %s, %s, %s)",
            (at, ACTOR.id, "service.changed", "service", str(service.pk), json.dumps(facts)),
        )


@operation
def with_hash_chain(service: Service, words: str) -> None:
    """The same change, chained to the event before it: the head is locked last, for the shortest time a chain allows."""
    service, at, before = _changed(service, words)
    event = ServiceChanged(target_id=str(service.pk), change={"description": (before, words)})
    payload = enclose(event, actor=ACTOR, at=at).payload
    with connection.cursor() as cursor:
        cursor.execute("SELECT hash FROM chain_head FOR UPDATE")
        link = hashlib.sha256(bytes(cursor.fetchone()[0]) + payload).digest()
        cursor.execute(
            "WITH head AS (UPDATE chain_head SET hash = %s) INSERT INTO chain_log (payload, hash) VALUES (%s, %s)",
            (link, payload, link),
        )


@operation
def saved(service: Service, words: str) -> None:
    """The same change by Model.save(), which is what libraries that listen to signals see."""
    service = locked(service)
    clock.now()
    service.description = words
    service.save(update_fields=["description"])


def _changed(service: Service, words: str) -> tuple[Service, datetime, str]:
    service = locked(service)
    at, before = clock.now(), service.description
    if not Service.objects.filter(pk=service.pk).update(description=words):
        raise LookupError("the service is gone")
    return service, at, before


def make_services(count: int) -> list[Service]:
    """Make services to change, in the database that Django is pointed at."""
    at = clock.now()
    with transaction.atomic():
        team = insert(Team(slug="bench", name="Bench", created_at=at), TeamCreated, actor=ACTOR, at=at)
        return [
            insert(
                Service(id=uuid.uuid4(), slug=f"bench-{n}", name=f"Bench {n}", owner_team=team, created_at=at),
                ServiceCreated,
                actor=ACTOR,
                at=at,
            )
            for n in range(count)
        ]


def leave_unguarded(cluster: Cluster, database: str) -> None:
    """Take the guard off the services of `database`, so that a change may go untold, and make the other tables."""
    with cluster.superuser(database) as superuser:
        superuser.execute("SET search_path = public")
        for name in ("audit_guard_rows", "audit_guard_columns", "audit_guard_truncate"):
            superuser.execute(f"DROP TRIGGER {name} ON keys_service".encode())
        superuser.execute(PLAIN_TABLES.encode())
