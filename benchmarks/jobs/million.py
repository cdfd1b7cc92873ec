"""Fill a database with keys as PostgreSQL alone can: copies of one that was made as in life, past the triggers.

The versions that are due get row MACs of their own, so that a sweep has to verify and make them; the others only stand around.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import psycopg

from audit import clock
from audit.actor import Actor
from benchmarks.cluster import Cluster
from benchmarks.emergency.population import Owners, make_keys
from keys.catalogue.services import create_scope, create_service
from keys.events import PersonInvited, TeamCreated
from keys.models import KeyVersion, Person, Team
from keys.operations import insert, operation
from keys.sealing import mac_of

SYSTEM = Actor.system("benchmark")
TABLES = ("keys_managedkey", "keys_keyversion")
_AT_ONCE = 5_000
_KEYS = """
INSERT INTO keys_managedkey SELECT made.*
FROM keys_managedkey AS model, generate_series(1, %s) AS n, LATERAL jsonb_populate_record(model, jsonb_build_object(
    'id', md5('key' || n)::uuid, 'number', model.number + n)) AS made
"""
# Overdue by up to a day, in no order of the table; the others have a month to go.
_VERSIONS = """
INSERT INTO keys_keyversion SELECT made.*
FROM keys_keyversion AS model, generate_series(1, %s) AS n, LATERAL jsonb_populate_record(model, jsonb_build_object(
    'id', md5('version' || n)::uuid, 'managed_key_id', md5('key' || n)::uuid, 'kid', substr(md5('kid' || n), 1, 16),
    'digest', '\\x' || encode(sha256(n::text::bytea), 'hex'),
    'expires_at', CASE WHEN n %% %s = 0 THEN clock_timestamp() - random() * interval '1 day'
        ELSE clock_timestamp() + interval '30 days' END)) AS made
"""


def fill(cluster: Cluster, database: str, *, keys: int, due: int) -> None:
    """Write `keys` keys with a working version each, `due` of which are over."""
    cluster.use(database)
    make_keys(_owners(actor=SYSTEM), count=1, actor=SYSTEM)
    with cluster.superuser(database) as connection:
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        connection.execute(_KEYS, [keys])
        connection.execute(_VERSIONS, [keys, keys // due])
        connection.execute("VACUUM ANALYZE keys_managedkey")
        connection.execute("VACUUM ANALYZE keys_keyversion")
        _seal(connection)
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _seal(connection: psycopg.Connection[Any]) -> None:
    """Fit the row MACs of what is due (Any: a row)."""
    over = KeyVersion.objects.over_by(clock.now()).select_related("managed_key__environment")
    rows = over.iterator(chunk_size=_AT_ONCE)
    while versions := list(islice(rows, _AT_ONCE)):
        connection.execute(
            "UPDATE keys_keyversion kept SET row_mac = given.mac FROM unnest(%s::uuid[], %s::text[]) AS given (id, mac)"
            " WHERE kept.id = given.id",
            [[each.pk for each in versions], [mac_of(each) for each in versions]],
        )


@operation
def _owners(*, actor: Actor) -> Owners:
    at = clock.now()
    person = Person(email="alice@example.com", name="Alice", roles=[], created_at=at)
    person.set_unusable_password()
    insert(person, PersonInvited, actor=actor, at=at)
    team = insert(Team(slug="reporting", name="Reporting", created_at=at), TeamCreated, actor=actor, at=at)
    service = create_service(
        slug_text="orders", name="Orders", description="Places orders.", owner_team=team, actor=actor
    )
    create_scope(service, name="orders:read", description="Reads.", access="read", risk="low", actor=actor)
    return Owners(team=team, recipient=person, service=service, scopes=("orders:read",))
