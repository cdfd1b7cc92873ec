import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from audit import clock, log
from audit.database import OWNER
from audit.models import AuditEvent
from audit.replay import differences, read_events, replay_into
from tests.audit.conftest import Connect
from tests.audit.test_guard import made, told
from tests.audit.things import ALICE, ThingChanged

UNTIL = datetime(2027, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def history(thing: Any) -> Any:
    """Three things: one untouched, one with a long life, one gone."""
    made(thing, name="one", tags=["a", "b"], facts={"x": [1, {"y": None}]}, period=timedelta(days=3, seconds=7))
    two = made(thing, name="two", note="private words", size=2**53 - 1, until=UNTIL)
    for state in ("used", "old"):
        with transaction.atomic():
            before = thing.objects.get(pk=two.pk).state
            thing.objects.filter(pk=two.pk).update(state=state, note=f"now {state}")
            note = "private words" if state == "used" else "now used"
            told(two, state=(before, state), note=(note, f"now {state}"))
    three = made(thing, name="three")
    with transaction.atomic():
        told(three, id=(str(three.pk), None))
        thing.objects.filter(pk=three.pk).delete()
    return thing


def _replay(**options: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("replay_audit_log", stdout=out, no_color=True, **options)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_events_alone_give_the_current_rows(history: Any) -> None:
    history.objects.update(hits=9)
    code, words = _replay()
    assert code == 0, words
    assert "thing: 2 rows, 9 columns" in words
    assert "not in events: hits (a counter)" in words
    assert "The tables are the sum of their events." in words


def test_private_columns_travel_in_the_private_part_only(history: Any) -> None:
    for event in AuditEvent.objects.of_target("thing", str(history.objects.get(name="two").pk)):
        assert b"private words" not in bytes(event.payload)
        assert "note" not in str(event.envelope()["change"])


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE thing SET state = 'forged' WHERE name = 'two'", "state: events say 'old', table says 'forged'"),
        ("UPDATE thing SET note = 'forged' WHERE name = 'two'", "note: events say 'now old', table says 'forged'"),
        ("UPDATE thing SET tags = '{a}' WHERE name = 'one'", "tags: events say ['a', 'b'], table says ['a']"),
        ("UPDATE thing SET until = until + interval '1 microsecond'", "until: events say"),
        ("UPDATE thing SET facts = '{}' WHERE name = 'one'", "facts: events say"),
        ("DELETE FROM thing WHERE name = 'one'", "in the events, but not in the table"),
        ("INSERT INTO thing (id, name, state) VALUES (gen_random_uuid(), 'x', 'x')", "in the table, but in no event"),
    ],
)
def test_a_row_changed_behind_the_log_is_found(history: Any, connect: Connect, sql: str, words: str) -> None:
    with connect("postgres") as superuser:
        superuser.execute("ALTER TABLE thing DISABLE TRIGGER ALL")
        superuser.execute(sql)
    code, found = _replay()
    assert code == 1
    assert words in found
    assert "1 differences" in found


def test_a_replay_into_a_named_schema_stays_there_to_be_looked_at(history: Any, connect: Connect) -> None:
    with connect(OWNER) as owner, connect("postgres") as superuser:
        owner.execute("CREATE SCHEMA replayed")
        superuser.execute("GRANT CREATE, USAGE ON SCHEMA replayed TO keystead_auditor")
        code, words = _replay(schema="replayed")
        assert code == 0, words
        superuser.execute("UPDATE replayed.thing SET state = 'x' WHERE name = 'one'")
    found = list(differences("replayed", using="auditor"))
    assert [(each.column, each.replayed, each.stored) for each in found] == [("state", "x", "new")]


def test_a_replay_leaves_nothing_behind(history: Any, connect: Connect) -> None:
    assert _replay()[0] == 0
    assert _replay()[0] == 0
    with connect(OWNER) as owner:
        row = owner.execute("SELECT count(*) FROM pg_class WHERE relname = 'thing'").fetchone()
    assert row == (1,)


def test_a_lying_event_is_found(history: Any) -> None:
    row = history.objects.get(name="one")
    with transaction.atomic():
        told(row, state=("never", "new"))
        log.record(ThingChanged(target_id="5", change={"state": ("a", "b")}), actor=ALICE, at=clock.now())
    findings = read_events("auditor").findings
    assert any("state was 'new' before, not 'never'" in each for each in findings)
    assert any("which no event created" in each for each in findings)
    code, words = _replay()
    assert code == 1
    assert "thing 5: events give a value that no column can hold" in words


def test_erased_private_columns_are_counted_and_not_compared(history: Any) -> None:
    two = history.objects.get(name="two")
    uids = list(AuditEvent.objects.of_target("thing", str(two.pk)).values_list("uid", flat=True))
    with transaction.atomic():
        log.erase_private(uids, person_id="p", actor=ALICE, at=clock.now(), reason="request")
    code, words = _replay()
    assert code == 0, words
    assert "1 rows have private columns whose events were erased" in words
    with transaction.atomic():
        history.objects.filter(pk=two.pk).update(note="again")
        told(two, note=("now old", "again"))
    assert _replay()[0] == 0


def test_a_private_part_that_is_gone_or_changed_without_record_is_found(history: Any, connect: Connect) -> None:
    first, second = AuditEvent.objects.with_action("thing.created").order_by("id")[:2]
    with connect("postgres") as superuser:
        superuser.execute("ALTER TABLE audit_private DISABLE TRIGGER ALL")
        superuser.execute("DELETE FROM audit_private WHERE event_id = %s", (first.id,))
        superuser.execute("UPDATE audit_private SET body = '{}' WHERE event_id = %s", (second.id,))
    findings = read_events("auditor").findings
    assert f"event {first.uid}: its private part is gone, and no pii.erased names it" in findings
    assert f"event {second.uid}: its private part is not the one it was recorded with" in findings


def test_only_the_first_of_many_differences_are_spelt_out(history: Any, connect: Connect) -> None:
    with connect("postgres") as superuser:
        superuser.execute("ALTER TABLE thing DISABLE TRIGGER ALL")
        superuser.execute(
            "INSERT INTO thing (id, name, state) SELECT gen_random_uuid(), 'x', 'x' FROM generate_series(1, 200)"
        )
    with transaction.atomic(using="auditor"):
        replay_into("pg_temp", using="auditor")
        assert len(list(differences("pg_temp", using="auditor"))) == 51
        transaction.set_rollback(True, using="auditor")
