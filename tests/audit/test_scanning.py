"""A page of a search is the page that a full scan would give, whichever filters are combined, and is found in bounded steps."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit import clock, log, scanning
from audit.actor import Actor
from audit.events import Outcome
from audit.models import AuditEvent, AuditLeaf
from audit.queries import Position
from audit.scanning import Filter, Question, find_page
from tests.audit.sealing import make_sealer, write_events
from tests.audit.things import CLOCK, ThingChanged, ThingCreated

ACTORS = [Actor.job("a"), Actor.job("b"), Actor.system("c")]
TARGET = Filter(("target_type", "target_id"), (("thing", "t-1"), ("thing", "t-2")))
ACTOR = Filter(("actor_type", "actor_id"), (("job", "a"),))
ACTION = Filter(("action",), ((ThingChanged.action,),))
PLACE = Filter(("environment",), (("prod",),))
DENIED = Filter(("outcome",), (("denied",),))
SUCCESS = Filter(("outcome",), (("success",),))
FILTERS = [TARGET, ACTOR, ACTION, PLACE, DENIED, SUCCESS]


@pytest.fixture
def many(db):
    """Six hundred events, several of them in the same millisecond."""
    chance, start = random.Random(7), clock.now()
    with transaction.atomic():
        for number in range(120):
            kind = chance.choice([ThingChanged, ThingCreated])
            events = [
                kind(
                    target_id=f"t-{chance.randrange(6)}",
                    environment=chance.choice(["dev", "prod", ""]),
                    outcome=chance.choice([Outcome.SUCCESS, Outcome.SUCCESS, Outcome.DENIED]),
                )
                for _ in range(5)
            ]
            at = start + timedelta(milliseconds=chance.randrange(300))
            log.record_many(events, actor=ACTORS[number % 3], at=at)
    return start


def naive(question: Question) -> list[Position]:
    rows = AuditEvent.objects.between(question.start, question.end).newest_first()
    return [
        Position.of(row)
        for row in rows
        if all(tuple(getattr(row, name) for name in each.columns) in each.lanes for each in question.filters)
    ]


def walk(question: Question, *, size: int, newer: bool = False, after: Position | None = None) -> list[Position]:
    """Follow the pages to the end, as somebody who goes on looking would."""
    seen: list[Position] = []
    while True:
        page = find_page(question, after=after, newer=newer, size=size)
        assert len(page.places) <= size
        seen = page.places + seen if newer else seen + page.places
        if page.stopped_at is None and not page.has_more:
            return seen
        after = page.stopped_at or (page.places[0] if newer else page.places[-1])


@pytest.mark.parametrize(
    "filters",
    [
        each
        for count in range(4)
        for each in itertools.combinations(FILTERS, count)
        if not {DENIED, SUCCESS} <= set(each)
    ],
    ids=lambda filters: "+".join(each.columns[0] for each in filters) or "nothing",
)
def test_every_combination_gives_the_pages_of_a_full_scan_in_both_directions(many, filters):
    whole = Question(filters=filters)
    span = Question(start=many + timedelta(milliseconds=40), end=many + timedelta(milliseconds=220), filters=filters)
    for question in (whole, span):
        expected = naive(question)
        assert walk(question, size=17) == expected
        if expected:
            assert walk(question, size=17, newer=True, after=expected[-1]) == expected[:-1]


def test_only_what_is_among_the_first_leaves(committed_db, tmp_path):
    sealer = make_sealer(tmp_path)
    write_events(60)
    size = sealer.seal().size
    write_events(60, prefix="later")
    sealer.seal()
    write_events(5, prefix="waits")
    by_clock = Filter(("actor_type", "actor_id"), (("job", CLOCK.id),))
    for filters in ((), (ACTION,), (ACTION, by_clock)):
        question = Question(filters=filters, sealed_before=size)
        first = set(AuditLeaf.objects.filter(index__lt=size).values_list("event_id", flat=True))
        expected = [place for place in naive(question) if place.id in first]
        assert len(expected) >= 60
        assert walk(question, size=17) == expected


def test_when_patience_ends_the_page_says_how_far_it_got_and_the_next_goes_on(many, monkeypatch):
    monkeypatch.setattr(scanning, "FIRST_STEP", 20)
    monkeypatch.setattr(scanning, "LARGEST_STEP", 20)
    question = Question(filters=(PLACE, DENIED))
    page = find_page(question, size=10, patience=-1)
    expected = naive(question)
    assert 0 < len(page.places) < 10
    assert page.stopped_at is not None
    assert not page.has_more
    assert page.places == expected[: len(page.places)]
    seen, after = list(page.places), page.stopped_at
    while after is not None:
        page = find_page(question, after=after, size=10, patience=-1)
        seen += page.places
        after = page.stopped_at or (page.places[-1] if page.has_more else None)
    assert seen == expected


def test_a_step_costs_a_constant_number_of_queries(many):
    for filters, most in ((), 1), ((ACTION,), 1), ((ACTION, PLACE), 3), ((TARGET, ACTOR, ACTION, PLACE, SUCCESS), 3):
        with CaptureQueriesContext(connection) as queries:
            find_page(Question(filters=filters), size=50)
        assert len(queries) <= most, filters


def plan(question: Question) -> str:
    lead = scanning._narrowest(question)
    others = [each for each in question.filters if each is not lead]
    columns = ["occurred_at", "id", *(column for each in others for column in each.columns)]
    statement = scanning._candidates(question, lead, columns, after=None, newer=False, limit=50)
    with connection.cursor() as cursor:
        # A table this small is read whole, or sorted from its smallest index, by any sane planner.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("EXPLAIN " + statement.sql, statement.values)
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ((), "audit_event_time"),
        ((TARGET,), "audit_event_target"),
        ((ACTOR,), "audit_event_actor"),
        ((ACTION,), "audit_event_action"),
        ((PLACE,), "audit_event_environment"),
        ((DENIED,), "audit_event_outcome"),
        ((SUCCESS,), "audit_event_time"),
        ((SUCCESS, ACTION), "audit_event_action"),
        ((Filter(("request_id",), (("r-1",),)),), "audit_event_request"),
    ],
)
def test_each_filter_is_led_by_its_own_index(many, never_analysed, filters, index):
    told = plan(Question(filters=filters))
    assert index in told
    assert "Seq Scan" not in told


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("is_within", [False, True])
def test_a_later_page_starts_at_its_place_and_not_at_the_end_of_the_span(many, newer, is_within):
    place = Position(occurred_at=many + timedelta(milliseconds=100), id=7)
    span = {"start": many, "end": many + timedelta(milliseconds=220)} if is_within else {}
    question = Question(filters=(ACTION,), **span)
    sql = scanning._candidates(question, ACTION, ["id"], after=place, newer=newer, limit=50).sql
    # A second comparison on one side would be a filter over everything between the two.
    assert (sql.count(" < ("), sql.count(" > (") + sql.count(" >= (")) == (1, 1)


def test_the_narrowest_filter_leads(many):
    rare = Filter(("target_type", "target_id"), (("thing", "no-such"),))
    assert scanning._narrowest(Question(filters=(ACTION, PLACE, rare))) is rare
    assert scanning._narrowest(Question(filters=(SUCCESS,))) is None


def test_no_statement_of_a_search_may_take_long(many):
    with transaction.atomic():
        find_page(Question(filters=(ACTION, PLACE)), size=5)
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("5s",)


@pytest.mark.parametrize("filters", [(), (ACTION,), (TARGET,)])
def test_a_search_that_comes_back_is_planned_once_and_not_for_its_values(many, filters):
    for number in range(12):
        find_page(Question(end=many + timedelta(milliseconds=100 + number), filters=filters), size=43)
    with connection.cursor() as cursor:
        cursor.execute("SELECT generic_plans > 0 FROM pg_prepared_statements WHERE statement LIKE '%LIMIT 44'")
        assert (True,) in cursor.fetchall()
