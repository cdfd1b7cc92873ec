"""The log is append-only for every role, and no column beside the payload can be made up."""

import psycopg
import pytest

from audit.database import APPLICATION, OWNER, ROLES
from audit.models import AuditEvent
from tests.audit.conftest import Connect
from tests.audit.protected import LOG_TABLES, REFUSED, fill, raw_event


@pytest.mark.parametrize("role", [*ROLES, "postgres"])
def test_nobody_updates_deletes_or_truncates_the_log(event: AuditEvent, connect: Connect, role: str) -> None:
    with connect("postgres") as superuser:
        fill(superuser, event)
    columns = {
        "audit_event": "action = 'x.y'", "audit_private": "body = ''", "audit_leaf": "leaf_hash = ''",
        "audit_node": "hash = ''", "audit_checkpoint": "note = ''", "audit_cosignature": "witness = 'x'",
    }  # fmt: skip
    with connect(role) as session:
        for table in LOG_TABLES:
            for statement in (
                f"UPDATE {table} SET {columns[table]}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE",
            ):  # fmt: skip
                with pytest.raises(REFUSED):
                    session.execute(statement)


def test_the_triggers_do_not_sleep_when_a_superuser_plays_the_replica(event: AuditEvent, connect: Connect) -> None:
    with connect("postgres") as superuser:
        superuser.execute("SET session_replication_role = replica")
        for statement in ("UPDATE audit_event SET action = 'x'", "DELETE FROM audit_event", "TRUNCATE audit_event"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                superuser.execute(statement)


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", 7), ("recorded_at", "2020-01-01Z"), ("txid", "7"), ("uid", "0190d3a0-0000-7000-8000-000000000001"), ("action", "x.y"),
     ("occurred_at", "2020-01-01Z"), ("actor_id", "alice")],
)  # fmt: skip
def test_the_application_writes_the_payload_and_no_other_column(connect: Connect, column: str, value: object) -> None:
    with connect(APPLICATION) as session, pytest.raises(REFUSED):
        session.execute(
            f"INSERT INTO audit_event (payload, {column}) OVERRIDING SYSTEM VALUE VALUES (%s, %s)", (raw_event(), value)
        )


def test_even_the_owner_cannot_forge_a_column_beside_the_payload(connect: Connect) -> None:
    with connect(OWNER) as owner:
        owner.execute(
            "INSERT INTO audit_event (payload, action, txid, recorded_at) VALUES (%s, 'key.revoked', '7', '2020-01-01Z')",
            (raw_event(),),
        )
        row = owner.execute(
            "SELECT action, txid::text, recorded_at < now() - interval '1 day' FROM audit_event ORDER BY id DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        assert (row[0], row[1] != "7", row[2]) == ("a.b", True, False)
        with pytest.raises(psycopg.errors.GeneratedAlways):
            owner.execute("INSERT INTO audit_event (id, payload) VALUES (5, %s)", (raw_event(),))


@pytest.mark.parametrize(
    "payload",
    [b"no json", b"\xff\xfe", b"[]", raw_event(uid="x"), raw_event(target=None), raw_event(actor=None),
     raw_event(details={"x": "y" * 17_000})],
)  # fmt: skip
def test_a_payload_that_is_no_envelope_is_refused(connect: Connect, payload: bytes) -> None:
    with connect(APPLICATION) as session, pytest.raises(psycopg.errors.Error):
        session.execute("INSERT INTO audit_event (payload) VALUES (%s)", (payload,))


def test_a_private_part_joins_only_an_event_of_its_own_transaction(event: AuditEvent, connect: Connect) -> None:
    with connect(OWNER) as owner:
        late = owner.execute("INSERT INTO audit_event (payload) VALUES (%s) RETURNING id", (raw_event(),)).fetchone()
        assert late is not None
    with connect(APPLICATION) as session:
        for number in (late[0], 10**9):
            with pytest.raises(psycopg.errors.IntegrityError, match="same transaction"):
                session.execute("INSERT INTO audit_private VALUES (%s, %s, %s)", (number, b"s" * 32, b"{}"))


def test_the_queue_holds_every_committed_event_and_the_application_cannot_touch_it(
    event: AuditEvent, connect: Connect
) -> None:
    with connect(APPLICATION) as session:
        assert session.execute("SELECT event_id FROM audit_pending WHERE event_id = %s", (event.id,)).fetchone()
        for statement in ("DELETE FROM audit_pending", "INSERT INTO audit_pending VALUES (99)"):
            with pytest.raises(REFUSED):
                session.execute(statement)


def test_the_application_cannot_switch_a_trigger_off(connect: Connect) -> None:
    with connect(APPLICATION) as session:
        for statement in (
            "ALTER TABLE audit_event DISABLE TRIGGER ALL", "DROP TRIGGER audit_append_only ON audit_event",
            "SET session_replication_role = replica",
            "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        ):  # fmt: skip
            with pytest.raises(REFUSED):
                session.execute(statement)
