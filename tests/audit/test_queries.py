from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from audit import log
from audit.actor import Actor, ActorKind
from audit.events import LogRead, Outcome
from audit.models import AuditEvent
from audit.queries import BadPosition, Position
from tests.audit.things import ALICE, ThingBroken, ThingChanged

START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def told(db: None) -> None:
    for minute in range(10):
        at = START + timedelta(minutes=minute // 3)
        log.record(
            ThingChanged(target_id=f"t{minute}", environment="prod" if minute % 2 else "dev"), actor=ALICE, at=at
        )
    bob = Actor(kind=ActorKind.PERSON, id="bob")
    log.record(ThingBroken(target_id="t1", reason="fell", outcome=Outcome.DENIED), actor=bob, at=START)
    log.record(LogRead(target_id="log"), actor=Actor.job("sweep"), at=START + timedelta(hours=1))


def test_each_question_has_its_answer(told: None) -> None:
    events = AuditEvent.objects
    assert [row.action for row in events.of_target("thing", "t1").newest_first()] == ["thing.broken", "thing.changed"]
    assert events.by_actor(ActorKind.PERSON, "bob").count() == 1
    assert events.by_actor("job", "sweep").get().action == "audit.log-read"
    assert events.with_action("thing.broken", "audit.log-read").count() == 2
    assert events.with_action("thing.changed").in_environment("prod").count() == 5
    assert events.with_outcome(Outcome.DENIED).get().target_id == "t1"
    assert events.between(START + timedelta(minutes=1), START + timedelta(minutes=2)).count() == 3
    assert events.between(START + timedelta(minutes=3), START + timedelta(days=1)).count() == 2
    assert events.between(None, START + timedelta(minutes=1)).count() == 4
    assert events.of_request("req-1").count() == 10


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_pages_have_no_gaps_and_no_repeats_either_way(told: None, size: int) -> None:
    ours = AuditEvent.objects.filter(occurred_at__range=(START, START + timedelta(days=1)))
    everything = list(ours.newest_first())
    for walk, expected in (("page_after", everything), ("page_before", everything[::-1])):
        found: list[AuditEvent] = []
        position: Position | None = None
        while page := list(getattr(ours, walk)(position)[:size]):
            found += page
            position = Position.parse(Position.of(page[-1]).text())
        assert found == expected


@pytest.mark.parametrize("text", ["", "x", "====", "MjAyNi8x", "\u00e9", "A" * 5000, Position(
    occurred_at=START, id=1).text()[:-4]])  # fmt: skip
def test_a_forged_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadPosition):
        Position.parse(text)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_cursor_beyond_the_database_is_refused(number: int) -> None:
    with pytest.raises(BadPosition):
        Position.parse(Position(occurred_at=START, id=number).text())


def test_a_page_of_one_target_uses_the_index_that_ends_in_the_order_of_reading(
    told: None, never_analysed: None
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    for events, index in (
        (AuditEvent.objects.of_target("thing", "t1"), "audit_event_target"),
        (AuditEvent.objects.by_actor("person", "bob"), "audit_event_actor"),
        (AuditEvent.objects.with_action("thing.broken"), "audit_event_action"),
        (AuditEvent.objects.in_environment("prod"), "audit_event_environment"),
        (AuditEvent.objects.with_outcome("denied"), "audit_event_outcome"),
        (AuditEvent.objects.all(), "audit_event_time"),
    ):
        plan = events.page_after(Position(occurred_at=START, id=10**6))[:50].explain()
        assert index in plan, plan
