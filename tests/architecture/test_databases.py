"""What a test commits, changes or drops is gone before the next one, whichever way it is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests import stage
from tests.databases import MANY_DEAD, WorkersDatabase
from tests.engines import TEMPLATE, layout_of_worker


@pytest.fixture(scope="module")
def database() -> Iterator[WorkersDatabase]:
    made = WorkersDatabase(layout_of_worker(), "keystead_cleaned", TEMPLATE)
    yield made
    made.remove()


def everything(database: WorkersDatabase) -> dict[str, list[Any]]:
    """Return the rows of every table and how the functions, triggers and rights stand."""
    with database.connect() as session:
        tables = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        told = {name: sorted(map(str, session.execute(f'SELECT * FROM "{name}"'))) for (name,) in tables}  # type: ignore[arg-type]
        for name, columns, place in (
            ("functions", "proname, prosrc, proacl, proconfig", "pg_proc WHERE oid >= 16384"),
            ("triggers", "tgrelid::regclass, tgname, tgenabled", "pg_trigger WHERE NOT tgisinternal"),
            ("relations", "relname, relacl", "pg_class WHERE relnamespace = 'public'::regnamespace"),
            ("sequences", "sequencename, last_value", "pg_sequences"),
        ):
            told[name] = sorted(map(str, session.execute(f"SELECT {columns} FROM {place}")))  # type: ignore[arg-type]
    return told


DEEDS = {
    "an event": """INSERT INTO audit_event (payload) VALUES (convert_to('{"uid": "0191a7c2-0000-7000-8000-000000000001",
        "time": "2026-01-01T00:00:00Z", "actor": {"type": "system", "id": "x"}, "action": "a.b", "target": {"type": "t", "id": "1"},
        "environment": "", "outcome": "success", "request": {"id": ""}}', 'UTF8'))""",
    "a table emptied": "SET session_replication_role = replica; DELETE FROM audit_pending",
    "a table truncated": "ALTER TABLE audit_private DISABLE TRIGGER ALL; TRUNCATE audit_private",
    "a table of its own": "CREATE TABLE thing (id int)",
    "a column": "ALTER TABLE keys_team ADD COLUMN colour text",
    "a trigger asleep": "ALTER TABLE audit_event DISABLE TRIGGER audit_queue",
    "a trigger dropped": "DROP TRIGGER audit_append_only ON audit_event",
    "a function rewritten": "CREATE OR REPLACE FUNCTION audit_queue() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "a right": "GRANT DELETE ON audit_event TO keystead_application",
    "a right to a function": "GRANT EXECUTE ON FUNCTION audit_prune(bigint) TO keystead_application",
    "a default of the database": "ALTER DATABASE keystead_cleaned SET work_mem = '64kB'",
    "an index": "CREATE INDEX of_ours ON keys_team (name)",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_whatever_a_test_did_is_undone(database: WorkersDatabase, deed: str) -> None:
    before = everything(database)
    database.spoil()
    with database.connect() as session:
        session.execute("SET session_replication_role = replica")
        session.execute(DEEDS[deed].encode())
    assert "default" in deed or everything(database) != before
    database.give(database.plain)
    assert everything(database) == before


def test_the_world_comes_and_goes(database: WorkersDatabase) -> None:
    assert stage.inhabited is not None
    before = everything(database)
    database.give(stage.inhabited.content)
    inhabited = everything(database)
    assert any("alice@example.com" in row for row in inhabited["keys_person"])
    database.spoil()
    with database.connect() as session:
        session.execute("UPDATE keys_person SET last_login = now()")
    assert everything(database) != inhabited
    database.give(stage.inhabited.content)
    assert everything(database) == inhabited
    database.give(database.plain)
    assert everything(database) == before


def test_a_table_that_is_filled_again_and_again_does_not_grow(database: WorkersDatabase) -> None:
    sizes = []
    for _ in range(3):
        database.spoil()
        with database.connect() as session:
            session.execute("SET session_replication_role = replica")
            session.execute(
                "INSERT INTO django_content_type (app_label, model) SELECT n, n FROM generate_series(1, %s) n",
                (MANY_DEAD,),
            )
            told = session.execute("SELECT pg_relation_size('django_content_type')").fetchone()
            sizes.append(told[0] if told else 0)
        database.give(database.plain)
    assert sizes[2] == sizes[1]


def test_whoever_is_connected_after_a_test_is_sent_away(database: WorkersDatabase) -> None:
    with database.connect() as left_over:
        left_over.execute("BEGIN")
        left_over.execute("LOCK TABLE keys_team")
        database.spoil()
        database.give(database.plain)
        with pytest.raises(psycopg.OperationalError):
            left_over.execute("SELECT 1")


@pytest.mark.usefixtures("world")
def test_the_world_of_a_test_that_is_rolled_back_is_the_same_by_its_own_events() -> None:
    assert stage.inhabited is not None
    rows = stage.inhabited.content.rows
    with connection.cursor() as cursor:
        for table in ("keys_person", "keys_team", "keys_membership", "keys_service", "keys_scope", "keys_policy"):
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                # The place of a row is nobody's: it may lie where another was swept up.
                assert sorted(b"".join(map(bytes, copy)).splitlines()) == sorted(rows[table].splitlines()), table
        cursor.execute("SELECT count(*) FROM audit_event WHERE txid = pg_current_xact_id()")
        assert cursor.fetchone()[0] > sum(rows[table].count(b"\n") for table in ("keys_person", "keys_membership"))
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE"
        )  # where a row has no event of this transaction, its guard would say so
