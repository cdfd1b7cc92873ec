"""Events read by their numbers are those that Django would read, with private parts and seals, in one planned statement."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit import clock, log
from audit.bound import bound_cursor
from audit.models import AuditEvent, AuditPrivate
from audit.reading import read_events
from audit.seals import seals_of
from tests.audit.sealing import make_sealer, write_events
from tests.audit.things import CLOCK, ThingChanged


def test_events_come_as_django_reads_them_in_the_order_asked_for_with_private_parts_and_seals(
    committed_db: None, tmp_path: Path
) -> None:
    write_events(5)
    make_sealer(tmp_path).seal()
    write_events(3, prefix="waits")
    known = AuditEvent.objects.select_related("private").in_bulk()
    numbers = sorted(known, key=lambda number: number * 7 % 11)
    with CaptureQueriesContext(connection) as queries:
        events, seals = read_events([*numbers, max(numbers) + 1_000])
        assert [each.private.facts() for each in events] == [known[number].private.facts() for number in numbers]
    assert len(queries) == 1
    assert [each.pk for each in events] == numbers
    for each in events:
        for field in AuditEvent._meta.concrete_fields:
            ours, theirs = (getattr(row, field.attname) for row in (each, known[each.pk]))
            assert (ours, type(ours)) == (theirs, type(theirs)), field.name
    assert seals == seals_of(numbers)
    assert len(numbers) - len(seals) == 3


def test_an_erased_private_part_is_missing_and_is_not_asked_for_again(committed_db: None) -> None:
    write_events(2)
    gone, kept = AuditEvent.objects.with_action(ThingChanged.action).oldest_first()
    with transaction.atomic():
        log.erase_private([gone.uid], person_id="p", actor=CLOCK, at=clock.now(), reason="asked-by-the-person")
    with CaptureQueriesContext(connection) as queries:
        first, second = read_events([gone.pk, kept.pk]).events
        with pytest.raises(AuditPrivate.DoesNotExist):
            _ = first.private
        assert second.private.facts()
    assert len(queries) == 1


def test_nothing_is_asked_about_no_events(db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert read_events([]) == ([], {})
    assert len(queries) == 0


def test_a_statement_that_comes_back_is_planned_once(db: None) -> None:
    asked = "SELECT payload FROM audit_event WHERE id = %s"
    for number in range(5):
        with bound_cursor() as cursor:
            cursor.execute(asked, [number])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT payload FROM audit_event%'"
        )
        assert cursor.fetchone() == (1,)


def test_an_error_is_one_of_djangos(db: None) -> None:
    with pytest.raises(ProgrammingError), transaction.atomic(), bound_cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
