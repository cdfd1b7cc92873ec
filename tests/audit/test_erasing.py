"""Private parts go only by an erasure that is on record and names them, and never while a hold keeps them."""

import uuid

import psycopg
import pytest
from django.db import OperationalError, transaction

from audit import clock, log
from audit.database import APPLICATION, OWNER
from audit.models import AuditEvent, AuditPrivate
from tests.audit.conftest import Connect
from tests.audit.protected import REFUSED, place, raw_event, tell
from tests.audit.things import ALICE, ThingChanged


def test_a_hold_is_placed_and_lifted_once_on_record_by_another(connect: Connect) -> None:
    with connect(APPLICATION) as session:
        with pytest.raises(psycopg.errors.IntegrityError, match="without an audit event"):
            session.execute(
                "INSERT INTO audit_hold (from_leaf, upto_leaf, reason, placed_at, placed_by, lifted_by)"
                " VALUES (0, 1, 'x', now(), 'x', '')"
            )
        hold = place(session, 0, 1)
        with pytest.raises(psycopg.errors.IntegrityError, match="without an audit event"):
            session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'y'")
        with pytest.raises(psycopg.errors.CheckViolation, match="another"):
            session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'x'")
        with session.transaction():
            tell(session, "hold.lifted", "hold", hold)
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
            return log.erase_private([event.uid], person_id="alice", actor=ALICE, at=clock.now(), reason="request")[0]

    with connect(APPLICATION) as session:
        # Not sealed yet, so it has no place: only a hold without an end keeps it.
        hold = place(session, 0, 2**53 - 1)
        with pytest.raises(OperationalError, match="held"):
            erase()
        with session.transaction():
            tell(session, "hold.lifted", "hold", hold)
            session.execute("UPDATE audit_hold SET lifted_at = now(), lifted_by = 'y'")
    assert erase() == 1


def test_erasing_needs_its_event_in_the_same_transaction(event: AuditEvent, connect: Connect) -> None:
    with connect(APPLICATION) as session:
        for erasure in (uuid.uuid4(), event.uid):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"pii\.erased"):
                session.execute("SELECT audit_erase_private(%s)", (erasure,))
    with transaction.atomic():
        erased, _ = log.erase_private([event.uid], person_id="alice", actor=ALICE, at=clock.now(), reason="request")
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
            (raw_event(action="pii.erased", details={"events": [str(event.uid)]}),),
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"), owner.transaction():
            owner.execute("DELETE FROM audit_private")
        owner.execute("DELETE FROM audit_private WHERE event_id = %s", (event.id,))
    assert AuditPrivate.objects.filter(event__uid=other).exists()


def test_hundreds_of_private_parts_are_erased_by_several_events(committed_db: None) -> None:
    with transaction.atomic():
        uids = log.record_many([ThingChanged(target_id=str(n)) for n in range(650)], actor=ALICE, at=clock.now())
    with transaction.atomic():
        assert log.erase_private(uids, person_id="alice", actor=ALICE, at=clock.now(), reason="request")[0] == 650
    assert AuditEvent.objects.with_action("pii.erased").count() == 3
