"""Events are read as Django would read them, with private parts and places in the sealed log, in one planned statement."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit import clock, log
from audit.bound import bound_cursor
from audit.models import AuditEvent, AuditPrivate
from audit.queries import Position
from audit.reading import read_events, read_page
from audit.scanning import Filter, Question, find_page
from audit.seals import LeafPlace, seals_of
from tests.audit.sealing import make_sealer, write_events
from tests.audit.things import CLOCK, ThingChanged

CHANGED = Filter(("action",), ((ThingChanged.action,),))
SOME = Filter(("target_type", "target_id"), tuple(("thing", f"t-{number}") for number in (1, 2, 3, 8)))


def test_events_come_as_django_reads_them_in_the_order_asked_for_with_private_parts_and_places(
    committed_db: None, tmp_path: Path
) -> None:
    write_events(5)
    make_sealer(tmp_path).seal()
    write_events(3, prefix="waits")
    known = AuditEvent.objects.select_related("private").in_bulk()
    numbers = sorted(known, key=lambda number: number * 7 % 11)
    with CaptureQueriesContext(connection) as queries:
        events, places = read_events([*numbers, max(numbers) + 1_000])
        assert [each.private.facts() for each in events] == [known[number].private.facts() for number in numbers]
    assert len(queries) == 1
    assert [each.pk for each in events] == numbers
    for each in events:
        for field in AuditEvent._meta.concrete_fields:
            ours, theirs = (getattr(row, field.attname) for row in (each, known[each.pk]))
            assert (ours, type(ours)) == (theirs, type(theirs)), field.name
    assert places == {number: LeafPlace(leaf=seal.leaf) for number, seal in seals_of(numbers).items()}
    assert len(numbers) - len(places) == 3


@pytest.mark.parametrize(
    ("filters", "most"),
    [
        ((), 1),
        ((CHANGED,), 1),
        ((Filter(("outcome",), (("failure",),)),), 1),
        ((Filter(("outcome",), (("success",),)),), 2),
        ((SOME,), 2),
        ((CHANGED, SOME), 5),
    ],
    ids=["nothing", "one filter", "a rare outcome", "the usual outcome", "several lanes", "two filters"],
)
def test_a_page_read_at_once_is_the_page_that_is_found_and_then_read(
    committed_db: None, tmp_path: Path, filters: tuple[Filter, ...], most: int
) -> None:
    write_events(9)
    make_sealer(tmp_path).seal()
    write_events(4)
    oldest = AuditEvent.objects.oldest_first()[0]
    for start in (None, AuditEvent.objects.oldest_first()[4].occurred_at):
        question = Question(start=start, filters=filters)
        after: Position | None = None
        for newer, size in ((False, 5), (False, 5), (False, 50), (True, 3), (True, 50)):
            after = Position.of(oldest) if newer and size == 3 else after
            found = find_page(question, after=after, newer=newer, size=size)
            with CaptureQueriesContext(connection) as queries:
                (events, places), told = read_page(question, after=after, newer=newer, size=size)
            assert len(queries) <= most
            assert told == found
            numbers = [place.id for place in found.places]
            assert [event.pk for event in events] == numbers
            assert [event.private.facts() for event in events] == [
                each.private.facts() for each in read_events(numbers)[0]
            ]
            assert places == read_events(numbers).places
            after = found.places[0 if newer else -1] if found.places else after


def test_the_place_of_an_event_is_read_from_the_index_alone(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("EXPLAIN SELECT index FROM audit_leaf WHERE event_id = 1")
        assert "Index Only Scan using audit_leaf_event" in cursor.fetchone()[0]


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
