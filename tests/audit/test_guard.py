import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from audit import clock, log
from audit.checks import governed_tables_are_guarded, installed_guards
from audit.database import APPLICATION
from audit.governed import GuardTable, column_value, governed_of, governed_tables, row_columns
from audit.protection import guard_sql
from tests.audit.conftest import Connect
from tests.audit.things import ALICE, GOVERNED, ThingChanged, ThingCreated, thing_id


def made(thing: Any, **columns: Any) -> Any:
    """Create a thing, with its event."""
    row = thing(id=thing_id(), **{"name": "n", "state": "new", **columns})
    with transaction.atomic():
        row.save(force_insert=True)
        row.refresh_from_db()
        change = {name: (None, value) for name, value in row_columns(row).items() if value is not None}
        log.record(ThingCreated(target_id=str(row.pk), change=change), actor=ALICE, at=clock.now())
    return row


def told(row: Any, **change: tuple[object, object]) -> None:
    """Record a change of a thing."""
    log.record(ThingChanged(target_id=str(row.pk), change=change), actor=ALICE, at=clock.now())


def test_a_change_with_its_event_commits(thing: Any) -> None:
    row = made(thing)
    with transaction.atomic():
        thing.objects.filter(pk=row.pk).update(state="used")
        told(row, state=("new", "used"))
    with transaction.atomic():
        told(row, id=(str(row.pk), None))
        thing.objects.filter(pk=row.pk).delete()
    assert not thing.objects.exists()


def _update(thing: Any, row: Any) -> None:
    thing.objects.filter(pk=row.pk).update(state="used")


def _bulk_update(thing: Any, row: Any) -> None:
    row.state = "used"
    thing.objects.bulk_update([row], ["state"])


def _bulk_create(thing: Any, row: Any) -> None:
    thing.objects.bulk_create([thing(id=thing_id(), name="b", state="new")])


def _save(thing: Any, row: Any) -> None:
    row.name = "other"
    row.save()


def _delete(thing: Any, row: Any) -> None:
    thing.objects.filter(pk=row.pk).delete()


def _raw(thing: Any, row: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE thing SET tags = '{x}'")


def _renamed(thing: Any, row: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE thing SET id = gen_random_uuid()")


def _upsert(thing: Any, row: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO thing (id, name, state) VALUES (%s, 'n', 'x')"
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state",
            (row.pk,),
        )


def _event_rolled_back_to_a_savepoint(thing: Any, row: Any) -> None:
    thing.objects.filter(pk=row.pk).update(state="used")
    savepoint = transaction.savepoint()
    told(row, state=("new", "used"))
    transaction.savepoint_rollback(savepoint)


def _event_on_another_row(thing: Any, row: Any) -> None:
    thing.objects.filter(pk=row.pk).update(state="used")
    told(thing(id=thing_id()), state=("new", "used"))


@pytest.mark.parametrize(
    "change",
    [_update, _bulk_update, _bulk_create, _save, _delete, _raw, _renamed, _upsert, _event_rolled_back_to_a_savepoint,
     _event_on_another_row],
)  # fmt: skip
def test_a_change_without_its_event_does_not_commit(thing: Any, change: Any) -> None:
    row = made(thing)
    before = list(thing.objects.values())
    with pytest.raises(IntegrityError, match="without an audit event on thing"), transaction.atomic():
        change(thing, row)
    assert list(thing.objects.values()) == before


def test_an_event_of_an_earlier_transaction_does_not_count(thing: Any) -> None:
    row = made(thing)
    with transaction.atomic():
        told(row, state=("new", "used"))
    with pytest.raises(IntegrityError), transaction.atomic():
        thing.objects.filter(pk=row.pk).update(state="used")


def test_columns_outside_the_registry_and_unchanged_rows_need_no_event(thing: Any) -> None:
    row = made(thing)
    thing.objects.update(hits=F("hits") + 1, mac="m")
    thing.objects.filter(pk=row.pk).update(state="new", name="n")
    row.refresh_from_db()
    assert row.hits == 1


def test_a_row_made_and_ended_in_one_transaction_still_needs_an_event(thing: Any) -> None:
    def live_and_die() -> None:
        with transaction.atomic():
            thing.objects.bulk_create([thing(id=thing_id(), name="b", state="new")])
            thing.objects.all().delete()

    with pytest.raises(IntegrityError):
        live_and_die()


def test_truncating_a_governed_table_is_refused(thing: Any, connect: Connect) -> None:
    with connect("keystead_owner") as owner, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.execute("TRUNCATE thing")


def test_a_table_of_the_same_name_in_another_schema_does_not_stand_in_for_the_log(thing: Any, connect: Connect) -> None:
    row = made(thing)
    with connect("keystead_owner") as owner:
        owner.execute("SET search_path = pg_temp, public")
        owner.execute("CREATE TEMPORARY TABLE audit_event (LIKE public.audit_event)")
        owner.execute("BEGIN")
        owner.execute("UPDATE public.thing SET state = 'used'")
        owner.execute(
            "INSERT INTO pg_temp.audit_event SELECT * FROM public.audit_event WHERE target_id = %s", (str(row.pk),)
        )
        owner.execute("UPDATE pg_temp.audit_event SET txid = pg_current_xact_id()")
        with pytest.raises(psycopg.errors.IntegrityError, match="without an audit event"):
            owner.execute("COMMIT")


def test_the_guard_does_not_sleep_when_a_superuser_plays_the_replica(thing: Any, connect: Connect) -> None:
    made(thing)
    with connect("postgres") as superuser:
        superuser.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.IntegrityError, match="without an audit event"):
            superuser.execute("UPDATE thing SET state = 'used'")


def test_the_application_cannot_take_the_guard_away(thing: Any, connect: Connect) -> None:
    with connect(APPLICATION) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("ALTER TABLE thing DISABLE TRIGGER audit_guard_columns")


def test_a_thousand_rows_in_one_transaction_are_guarded_in_time_that_grows_with_them(thing: Any) -> None:
    rows = [thing(id=thing_id(), name="b", state="new") for _ in range(1000)]
    started = time.monotonic()
    with transaction.atomic():
        thing.objects.bulk_create(rows)
        log.record_many([ThingCreated(target_id=str(row.pk)) for row in rows], actor=ALICE, at=clock.now())
    assert time.monotonic() - started < 30
    assert thing.objects.count() == 1000


@pytest.mark.parametrize("pk", ["id", "code"])
def test_a_row_is_named_by_its_key_whatever_that_is_called(committed_db: None, connect: Connect, pk: str) -> None:
    with connect("keystead_owner") as owner:
        owner.execute(f"CREATE TABLE part ({pk} text PRIMARY KEY, state text)")
        owner.execute(guard_sql("part", "thing", columns=[pk, "state"], pk=pk))
        owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON part TO {APPLICATION}")
    statements = ("INSERT INTO part VALUES ('p-1', 'new')", "UPDATE part SET state = 'used'", "DELETE FROM part")
    for statement in statements:
        for target in ("p-2", "p-1"):
            with transaction.atomic() if target == "p-1" else pytest.raises(IntegrityError), transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                log.record(ThingChanged(target_id=target), actor=ALICE, at=clock.now())


def test_the_check_says_which_governed_table_is_not_guarded(thing: Any, connect: Connect) -> None:
    assert governed_tables_are_guarded(databases=["default"]) == []
    assert installed_guards()["thing"] == ("thing", "id", frozenset(GOVERNED))
    with connect("keystead_owner") as owner:
        owner.execute(guard_sql("thing", "thing", columns=["id", "state"], pk="id"))
        assert [each.id for each in governed_tables_are_guarded(databases=["default"])] == ["audit.E001"]
        owner.execute("ALTER TABLE thing DISABLE TRIGGER audit_guard_columns")
        assert "thing" not in installed_guards()
        assert GuardTable("thing", "thing", ["id"]).backward_sql().count("DROP TRIGGER") == 3


def test_the_registry_knows_columns_private_ones_and_the_reasons_of_excluded_ones(thing: Any) -> None:
    table = governed_of(thing)
    assert governed_tables() == {"thing": table}
    assert set(table.columns) == set(GOVERNED)
    assert table.private == {"note"}
    assert dict(table.excluded) == {"hits": "a counter", "mac": "checked elsewhere"}


def test_a_value_is_written_so_that_the_database_restores_it(db: None) -> None:
    zoned = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    casts = {
        "timestamptz": zoned, "interval": timedelta(days=-3, microseconds=5), "uuid": thing_id(), "bytea": b"\x00\xff",
        "text[]": ["a,b", "{}", "\u20ac"], "jsonb": {"a": [1, None, {"b": "c"}]}, "inet": "10.0.0.0/8", "bigint": 2**53 - 1,
        "date": zoned.date(), "boolean": True,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for kind, value in casts.items():
            written = json.dumps({"x": column_value(value)})
            cursor.execute(f"SELECT x FROM jsonb_to_record(%s::jsonb) AS row (x {kind})", (written,))
            found = cursor.fetchone()[0]
            if kind == "jsonb":
                found = json.loads(found)
            assert (str(found) if kind in {"uuid", "inet"} else bytes(found) if kind == "bytea" else found) == value
