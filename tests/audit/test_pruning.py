"""A range of the log is pruned only when it is archived, old enough, not held, and on record."""

import psycopg
import pytest
from django.db import connection

from audit import clock, log
from audit.database import APPLICATION, AUDITOR, OWNER, RETENTION, SEALER, VERIFIER
from audit.events import LogRead
from audit.keeping_events import LogPruned
from audit.models import AuditEvent, AuditPrivate
from tests.audit.conftest import Connect
from tests.audit.protected import REFUSED, fill, place, raw_event, tell
from tests.audit.things import ALICE, CLOCK


class TestPruning:
    STEP = 65_536

    def _prune(self, connect: Connect, upto: int, *, told: bool = True) -> int:
        with connect(RETENTION) as session, session.transaction():
            if told:
                session.execute(
                    "INSERT INTO audit_event (payload) VALUES (%s)", (raw_event(action="audit.log-pruned"),)
                )
            row = session.execute("SELECT audit_prune(%s)", (upto,)).fetchone()
            assert row is not None
            return int(row[0])

    @pytest.fixture(autouse=True)
    def _sealed(self, event: AuditEvent, connect: Connect) -> None:
        with connect("postgres") as superuser:
            fill(superuser, event)
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
            tell(session, "retention.set", "retention", row[0])
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
                tell(session, "retention.proposed", "retention", row[0])
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
            hold = place(session, 0, 5)
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="held"):
                self._prune(connect, self.STEP)
            with session.transaction():
                tell(session, "hold.lifted", "hold", hold)
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
                session.execute(
                    "INSERT INTO audit_event (payload) VALUES (%s)", (raw_event(action="audit.log-pruned"),)
                )
                session.execute("DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_leaf)")

        with connect(APPLICATION) as session:
            place(session, 0, 1)
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


def test_the_actor_of_a_pruning_is_on_record(db: None) -> None:
    log.record(LogPruned(target_id="log", reason="retention", from_leaf=0, upto=65_536), actor=CLOCK, at=clock.now())
    log.record(LogRead(target_id="log", searched={"actor": "x"}, shown=3), actor=ALICE, at=clock.now())
    assert connection.in_atomic_block
