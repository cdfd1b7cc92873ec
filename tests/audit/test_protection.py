import uuid
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from audit import clock, log
from audit.canonical import canonical_json
from audit.database import (
    APPLICATION,
    AUDITOR,
    FUNCTION_GRANTS,
    GRANTS,
    OWNER,
    RETENTION,
    ROLES,
    SEALER,
    VERIFIER,
    GrantError,
    apply_grants,
    undeclared_relations,
)
from audit.events import LogRead
from audit.keeping_events import LogPruned
from audit.models import AuditEvent, AuditPrivate
from tests.audit.conftest import Connect
from tests.audit.things import ALICE, CLOCK, ThingChanged

REFUSED = (psycopg.errors.InsufficientPrivilege,)
LOG_TABLES = ("audit_event", "audit_private", "audit_leaf", "audit_node", "audit_checkpoint", "audit_cosignature")


@pytest.fixture
def event(committed_db: None) -> AuditEvent:
    with transaction.atomic():
        uid = log.record(ThingChanged(target_id="t", comment="words"), actor=ALICE, at=clock.now())
    return AuditEvent.objects.get(uid=uid)


def _fill(superuser: "psycopg.Connection[Any]", event: AuditEvent) -> None:
    """Put one row into every append-only table, so that a row trigger has something to refuse."""
    superuser.execute("INSERT INTO audit_leaf VALUES (0, %s, %s)", (event.id, b"h" * 32))
    superuser.execute("INSERT INTO audit_node (level, index, hash) VALUES (0, 0, %s)", (b"h" * 32,))
    superuser.execute("INSERT INTO audit_checkpoint VALUES (65536, %s, 'note', now())", (b"h" * 32,))
    superuser.execute(
        "INSERT INTO audit_cosignature (checkpoint_id, witness, signature, signed_at) VALUES (65536, 'w', 's', now())"
    )


@pytest.mark.parametrize("role", [*ROLES, "postgres"])
def test_nobody_updates_deletes_or_truncates_the_log(event: AuditEvent, connect: Connect, role: str) -> None:
    with connect("postgres") as superuser:
        _fill(superuser, event)
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


def _payload(**changed: object) -> bytes:
    envelope = {
        "uid": str(uuid.uuid4()), "time": "2026-01-01T00:00:00.000Z", "action": "a.b", "outcome": "success",
        "actor": {"type": "job", "id": "x"}, "target": {"type": "t", "id": "1"}, "environment": "",
        "request": {"id": ""},
    }  # fmt: skip
    return canonical_json(envelope | changed)


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", 7), ("recorded_at", "2020-01-01Z"), ("txid", "7"), ("uid", "0190d3a0-0000-7000-8000-000000000001"), ("action", "x.y"),
     ("occurred_at", "2020-01-01Z"), ("actor_id", "alice")],
)  # fmt: skip
def test_the_application_writes_the_payload_and_no_other_column(connect: Connect, column: str, value: object) -> None:
    with connect(APPLICATION) as session, pytest.raises(REFUSED):
        session.execute(
            f"INSERT INTO audit_event (payload, {column}) OVERRIDING SYSTEM VALUE VALUES (%s, %s)", (_payload(), value)
        )


def test_even_the_owner_cannot_forge_a_column_beside_the_payload(connect: Connect) -> None:
    with connect(OWNER) as owner:
        owner.execute(
            "INSERT INTO audit_event (payload, action, txid, recorded_at) VALUES (%s, 'key.revoked', '7', '2020-01-01Z')",
            (_payload(),),
        )
        row = owner.execute(
            "SELECT action, txid::text, recorded_at < now() - interval '1 day' FROM audit_event ORDER BY id DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        assert (row[0], row[1] != "7", row[2]) == ("a.b", True, False)
        with pytest.raises(psycopg.errors.GeneratedAlways):
            owner.execute("INSERT INTO audit_event (id, payload) VALUES (5, %s)", (_payload(),))


@pytest.mark.parametrize(
    "payload",
    [b"no json", b"\xff\xfe", b"[]", _payload(uid="x"), _payload(target=None), _payload(actor=None),
     _payload(details={"x": "y" * 17_000})],
)  # fmt: skip
def test_a_payload_that_is_no_envelope_is_refused(connect: Connect, payload: bytes) -> None:
    with connect(APPLICATION) as session, pytest.raises(psycopg.errors.Error):
        session.execute("INSERT INTO audit_event (payload) VALUES (%s)", (payload,))


def test_a_private_part_joins_only_an_event_of_its_own_transaction(event: AuditEvent, connect: Connect) -> None:
    with connect(OWNER) as owner:
        late = owner.execute("INSERT INTO audit_event (payload) VALUES (%s) RETURNING id", (_payload(),)).fetchone()
        assert late is not None
    with connect(APPLICATION) as session:
        for number in (late[0], 10**9):
            with pytest.raises(psycopg.errors.IntegrityError, match="same transaction"):
                session.execute("INSERT INTO audit_private VALUES (%s, %s, %s)", (number, b"s" * 32, b"{}"))


@pytest.mark.parametrize(
    ("role", "table", "allowed"),
    [
        (APPLICATION, "audit_pending", {"SELECT"}),
        (APPLICATION, "audit_leaf", {"SELECT"}),
        (SEALER, "audit_pending", {"SELECT", "DELETE"}),
        (SEALER, "audit_leaf", {"SELECT", "INSERT"}),
        (SEALER, "audit_checkpoint", {"SELECT", "INSERT"}),
        (AUDITOR, "audit_event", {"SELECT"}),
        (AUDITOR, "audit_private", {"SELECT"}),
        (VERIFIER, "audit_event", set()),
        (VERIFIER, "audit_private", set()),
    ],
)
def test_each_role_holds_its_rights_and_no_others(connect: Connect, role: str, table: str, allowed: set[str]) -> None:
    asked = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    with connect(OWNER) as owner:
        rows = owner.execute(
            "SELECT word FROM unnest(%s::text[]) word WHERE has_table_privilege(%s, %s, word)",
            (list(asked), role, table),
        ).fetchall()
    assert {word for (word,) in rows} == allowed


def test_no_role_is_stronger_than_it_must_be(connect: Connect) -> None:
    with connect(OWNER) as owner:
        rows = owner.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'keystead_%'"
            " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)"
        ).fetchall()
        assert rows == []
        count = owner.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY (%s)", (list(ROLES),)).fetchone()
        assert count == (len(ROLES),)


def test_applying_grants_again_takes_back_what_is_not_declared(connect: Connect) -> None:
    with connect(OWNER) as owner:
        owner.execute(f"GRANT UPDATE (action), DELETE ON audit_event TO {APPLICATION}")
        apply_grants(owner, GRANTS, FUNCTION_GRANTS)
        held = owner.execute(
            "SELECT has_table_privilege(%s, 'audit_event', 'DELETE'),"
            " has_column_privilege(%s, 'audit_event', 'action', 'UPDATE'),"
            " has_column_privilege(%s, 'audit_event', 'payload', 'INSERT')",
            (APPLICATION, APPLICATION, APPLICATION),
        ).fetchone()
        assert held == (False, False, True)


def test_grants_on_unknown_tables_to_unknown_roles_or_of_unknown_rights_are_refused(connect: Connect) -> None:
    with connect(OWNER) as owner:
        for grants in (
            {"nowhere": {}}, {"audit_event": {"postgres": ("SELECT",)}}, {"audit_event": {OWNER: ("SELECT",)}},
            {"audit_event": {APPLICATION: ("ALL",)}}, {"audit_event": {APPLICATION: ("TRUNCATE",)}},
        ):  # fmt: skip
            with pytest.raises(GrantError), owner.transaction():
                apply_grants(owner, grants)
        owner.execute("CREATE TABLE stray (id bigint)")
        assert "stray" in undeclared_relations(owner, GRANTS)
        assert "audit_event" not in undeclared_relations(owner, GRANTS)


def _tell(session: "psycopg.Connection[Any]", action: str, kind: str, target: object) -> None:
    payload = _payload(action=action, target={"type": kind, "id": str(target)})
    session.execute("INSERT INTO audit_event (payload) VALUES (%s)", (payload,))


def _place(session: "psycopg.Connection[Any]", first: int, upto: int) -> int:
    with session.transaction():
        row = session.execute(
            "INSERT INTO audit_hold (from_leaf, upto_leaf, reason, placed_at, placed_by, lifted_by)"
            " VALUES (%s, %s, 'court', now(), 'x', '') RETURNING id",
            (first, upto),
        ).fetchone()
        assert row is not None
        _tell(session, "hold.placed", "hold", row[0])
    return int(row[0])


def test_a_hold_is_placed_and_lifted_once_on_record_by_another(connect: Connect) -> None:
    with connect(APPLICATION) as session:
        with pytest.raises(psycopg.errors.IntegrityError, match="without an audit event"):
            session.execute(
                "INSERT INTO audit_hold (from_leaf, upto_leaf, reason, placed_at, placed_by, lifted_by)"
                " VALUES (0, 1, 'x', now(), 'x', '')"
            )
        hold = _place(session, 0, 1)
        with pytest.raises(psycopg.errors.IntegrityError, match="without an audit event"):
            session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'y'")
        with pytest.raises(psycopg.errors.CheckViolation, match="another"):
            session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'x'")
        with session.transaction():
            _tell(session, "hold.lifted", "hold", hold)
            session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'y'")
        for statement in (
            "UPDATE audit_hold SET lifted_at = NULL, lifted_by = ''", "UPDATE audit_hold SET upto_leaf = 9",
            "DELETE FROM audit_hold", "TRUNCATE audit_hold",
        ):  # fmt: skip
            with pytest.raises(REFUSED):
                session.execute(statement)


def test_what_is_held_loses_no_private_part(event: AuditEvent, connect: Connect) -> None:
    def erase() -> int:
        with transaction.atomic():
            return log.erase_private([event.uid], person_id="alice", actor=ALICE, at=clock.now(), reason="request")

    with connect(APPLICATION) as session:
        # Not sealed yet, so it has no place: only a hold without an end keeps it.
        hold = _place(session, 0, 2**53 - 1)
        with pytest.raises(OperationalError, match="held"):
            erase()
        with session.transaction():
            _tell(session, "hold.lifted", "hold", hold)
            session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'y'")
    assert erase() == 1


def test_erasing_needs_its_event_in_the_same_transaction(event: AuditEvent, connect: Connect) -> None:
    with connect(APPLICATION) as session:
        for erasure in (uuid.uuid4(), event.uid):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"pii\.erased"):
                session.execute("SELECT audit_erase_private(%s)", (erasure,))
    with transaction.atomic():
        erased = log.erase_private([event.uid], person_id="alice", actor=ALICE, at=clock.now(), reason="request")
    assert erased == 1
    assert not AuditPrivate.objects.filter(event_id=event.id).exists()
    erasure = AuditEvent.objects.with_action("pii.erased").get()
    assert erasure.envelope()["details"] == {"events": [str(event.uid)]}
    assert AuditPrivate.objects.filter(event_id=erasure.id).exists()
    with connect(APPLICATION) as session, pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"pii\.erased"):
        session.execute("SELECT audit_erase_private(%s)", (erasure.uid,))


def test_an_erasure_deletes_what_it_names_and_nothing_else(event: AuditEvent, connect: Connect) -> None:
    with transaction.atomic():
        other = log.record(ThingChanged(target_id="t2"), actor=ALICE, at=clock.now())
    with connect(OWNER) as owner, owner.transaction():
        owner.execute(
            "INSERT INTO audit_event (payload) VALUES (%s)",
            (_payload(action="pii.erased", details={"events": [str(event.uid)]}),),
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"), owner.transaction():
            owner.execute("DELETE FROM audit_private")
        owner.execute("DELETE FROM audit_private WHERE event_id = %s", (event.id,))
    assert AuditPrivate.objects.filter(event__uid=other).exists()


def test_hundreds_of_private_parts_are_erased_by_several_events(committed_db: None) -> None:
    with transaction.atomic():
        uids = log.record_many([ThingChanged(target_id=str(n)) for n in range(650)], actor=ALICE, at=clock.now())
    with transaction.atomic():
        assert log.erase_private(uids, person_id="alice", actor=ALICE, at=clock.now(), reason="request") == 650
    assert AuditEvent.objects.with_action("pii.erased").count() == 3


class TestPruning:
    STEP = 65_536

    def _prune(self, connect: Connect, upto: int, *, told: bool = True) -> int:
        with connect(RETENTION) as session, session.transaction():
            if told:
                session.execute("INSERT INTO audit_event (payload) VALUES (%s)", (_payload(action="audit.log-pruned"),))
            row = session.execute("SELECT audit_prune(%s)", (upto,)).fetchone()
            assert row is not None
            return int(row[0])

    @pytest.fixture(autouse=True)
    def _sealed(self, event: AuditEvent, connect: Connect) -> None:
        with connect("postgres") as superuser:
            _fill(superuser, event)
            superuser.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_append_only")
            superuser.execute("UPDATE audit_event SET recorded_at = now() - interval '400 days'")
            superuser.execute("ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_append_only")
        self._keep(connect, 365)

    def _keep(self, connect: Connect, days: int) -> None:
        """Put a period in force, which takes two people."""
        with connect(APPLICATION) as session, session.transaction():
            row = session.execute(
                "INSERT INTO audit_retention (keep_days, private_days, reason, proposed_at, proposed_by, decided_by, outcome)"
                " VALUES (%s, NULL, 'law', now(), 'person:a', '', '') RETURNING id",
                (days,),
            ).fetchone()
            assert row is not None
            _tell(session, "retention.set", "retention", row[0])
            session.execute(
                "UPDATE audit_retention SET decided_at = now(), decided_by = 'person:b', outcome = 'accepted' WHERE id = %s",
                row,
            )

    def test_what_is_younger_than_the_period_stays(self, connect: Connect) -> None:
        self._archive(connect)
        self._keep(connect, 500)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="younger"):
            self._prune(connect, self.STEP)

    def test_a_shorter_period_needs_another_person_even_for_raw_sql(self, connect: Connect) -> None:
        columns = "(keep_days, private_days, reason, proposed_at, proposed_by, decided_at, decided_by, outcome)"
        with connect(APPLICATION) as session:
            for days in ((100, None), (None, 30)):
                with pytest.raises(REFUSED, match="second administrator"), session.transaction():
                    session.execute(
                        f"INSERT INTO audit_retention {columns} VALUES (%s, %s, 'x', now(), 'p:a', now(), 'p:a', 'accepted')",
                        days,
                    )
            with session.transaction():
                row = session.execute(
                    f"INSERT INTO audit_retention {columns} VALUES (100, NULL, 'x', now(), 'p:a', NULL, '', '') RETURNING id"
                ).fetchone()
                assert row is not None
                _tell(session, "retention.proposed", "retention", row[0])
            with pytest.raises(REFUSED, match="by another"):
                session.execute(
                    "UPDATE audit_retention SET decided_at = now(), decided_by = 'p:a', outcome = 'accepted'"
                )
            for statement in ("DELETE FROM audit_retention", "UPDATE audit_retention SET outcome = ''"):
                with pytest.raises(REFUSED):
                    session.execute(statement)

    def _archive(self, connect: Connect, *, verified: bool = True) -> None:
        with connect(RETENTION) as session:
            session.execute(
                "INSERT INTO audit_archive (from_leaf, upto_leaf, location, sha256, size, archived_at, verified_at)"
                " VALUES (0, %s, 's3', '', 1, now(), CASE WHEN %s THEN now() END)",
                (self.STEP, verified),
            )

    def test_only_whole_subtrees_are_pruned(self, connect: Connect) -> None:
        self._archive(connect)
        for upto in (1, 65_535, 0, -65_536):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="multiple"):
                self._prune(connect, upto)

    def test_what_is_not_archived_or_not_verified_stays(self, connect: Connect) -> None:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="archived"):
            self._prune(connect, self.STEP)
        self._archive(connect, verified=False)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="archived"):
            self._prune(connect, self.STEP)

    def test_what_no_checkpoint_covers_stays(self, connect: Connect) -> None:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="checkpoint"):
            self._prune(connect, 2 * self.STEP)

    def test_what_is_held_stays_until_the_hold_is_lifted(self, connect: Connect, event: AuditEvent) -> None:
        self._archive(connect)
        with connect(APPLICATION) as session:
            hold = _place(session, 0, 5)
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="held"):
                self._prune(connect, self.STEP)
            with session.transaction():
                _tell(session, "hold.lifted", "hold", hold)
                session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'y'")
        assert self._prune(connect, self.STEP) == 1
        assert not AuditEvent.objects.filter(pk=event.pk).exists()
        assert not AuditPrivate.objects.filter(pk=event.pk).exists()
        assert AuditEvent.objects.with_action("audit.log-pruned").count() == 1
        with connect(OWNER) as owner:
            assert owner.execute("SELECT count(*) FROM audit_node").fetchone() == (1,)

    def test_the_retention_role_cannot_get_round_a_hold_or_a_period_with_raw_sql(self, connect: Connect) -> None:
        self._archive(connect)

        def delete() -> None:
            with connect(RETENTION) as session, session.transaction():
                session.execute("INSERT INTO audit_event (payload) VALUES (%s)", (_payload(action="audit.log-pruned"),))
                session.execute("DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_leaf)")

        with connect(APPLICATION) as session:
            _place(session, 0, 1)
        with pytest.raises(REFUSED, match="append-only"):
            delete()
        with connect(RETENTION) as session:
            for statement in (
                "UPDATE audit_hold SET lifted_at = now(), lifted_by = 'z'", "DELETE FROM audit_hold", "TRUNCATE audit_hold",
                "INSERT INTO audit_retention (keep_days) VALUES (NULL)",
            ):  # fmt: skip
                with pytest.raises(REFUSED):
                    session.execute(statement)

    def test_pruning_without_its_event_is_refused(self, connect: Connect) -> None:
        self._archive(connect)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            self._prune(connect, self.STEP, told=False)

    @pytest.mark.parametrize("role", [APPLICATION, SEALER, AUDITOR, VERIFIER])
    def test_only_the_retention_role_prunes(self, connect: Connect, role: str) -> None:
        with connect(role) as session, pytest.raises(REFUSED):
            session.execute("SELECT audit_prune(65536)")

    def test_the_retention_role_cannot_delete_beside_its_function(self, connect: Connect) -> None:
        with connect(RETENTION) as session, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            session.execute("DELETE FROM audit_event")


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


def test_the_actor_of_a_pruning_is_on_record(db: None) -> None:
    log.record(LogPruned(target_id="log", reason="retention", from_leaf=0, upto=65_536), actor=CLOCK, at=clock.now())
    log.record(LogRead(target_id="log", searched={"actor": "x"}, shown=3), actor=ALICE, at=clock.now())
    assert connection.in_atomic_block
