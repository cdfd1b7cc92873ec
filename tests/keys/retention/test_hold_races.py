"""A hold and a prune that meet: one of them wins, the other is told, and what is held is never pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connections

from audit.actor import Actor
from audit.keeping_rules import HOLD_LOCK, PRUNE_STEP
from audit.models import AuditEvent, AuditHold, AuditLeaf
from audit.pruning import prune
from keys.errors import Conflict
from keys.retention.holds import HeldSpan, lift_hold, place_hold
from tests.audit.processes import wait_until
from tests.people import World, acting
from tests.races import in_parallel

Superuser = psycopg.Connection[tuple[object, ...]]
HELD = HeldSpan(from_leaf=0, upto_leaf=3)
JOB = Actor.job("prune_audit_log")
_OLD = f"""
INSERT INTO audit_leaf SELECT row_number() OVER (ORDER BY id) - 1, id, sha256(payload) FROM audit_event ORDER BY id LIMIT 3;
INSERT INTO audit_checkpoint VALUES ({PRUNE_STEP}, sha256(''), 'note', now());
INSERT INTO audit_archive (from_leaf, upto_leaf, location, sha256, size, archived_at, verified_at)
    VALUES (0, {PRUNE_STEP}, 'archive', '', 1, now(), now());
ALTER TABLE audit_event DISABLE TRIGGER audit_append_only;
UPDATE audit_event SET recorded_at = now() - interval '400 days' WHERE id IN (SELECT event_id FROM audit_leaf);
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_append_only;
ALTER TABLE audit_retention DISABLE TRIGGER ALL;
INSERT INTO audit_retention (keep_days, reason, proposed_at, proposed_by, decided_at, decided_by, outcome)
    VALUES (365, 'law', now(), 'person:a', now(), 'person:b', 'accepted');
ALTER TABLE audit_retention ENABLE ALWAYS TRIGGER audit_retention_rules;
ALTER TABLE audit_retention ENABLE ALWAYS TRIGGER audit_guard_rows;
ALTER TABLE audit_retention ENABLE ALWAYS TRIGGER audit_guard_columns;
"""
_WAITING = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND (classid::bigint << 32 | objid::bigint) = %s
"""


@pytest.fixture
def old_world(committed_db: None, world: World, superuser: Superuser) -> World:
    """A world whose first three events are sealed, archived and older than the log keeps any."""
    superuser.execute(_OLD)
    return world


class Meeting:
    """Racers on connections of their own, who come to the same lock in a given order."""

    def __init__(self, superuser: Superuser, threads: ThreadPoolExecutor) -> None:
        self.superuser, self.threads = superuser, threads
        self.come: list[Future[Any]] = []

    def comes(self, act: Callable[[], Any]) -> Future[Any]:
        """Let somebody begin, and wait until they stand in the queue."""
        self.come.append(self.threads.submit(_on_its_own, act))
        wait_until(lambda: self.superuser.execute(_WAITING, (HOLD_LOCK,)).fetchone() == (len(self.come),))
        return self.come[-1]


@contextmanager
def meeting(superuser: Superuser) -> Iterator[Meeting]:
    """Hold the lock until the racers stand in a queue; then let them go, first come, first served."""
    superuser.execute("SELECT pg_advisory_lock(%s)", (HOLD_LOCK,))
    with ThreadPoolExecutor() as threads:
        try:
            yield Meeting(superuser, threads)
        finally:
            superuser.execute("SELECT pg_advisory_unlock(%s)", (HOLD_LOCK,))


def _on_its_own(act: Callable[[], Any]) -> Any:
    try:
        return act()
    finally:
        connections.close_all()


def prunes() -> int:
    return prune(0, PRUNE_STEP, actor=JOB)


def holds(world: World, span: HeldSpan = HELD) -> AuditHold:
    return place_hold(span, actor=acting(world.auditor, "retention"), reason="Letter of the court of 12 May")


def held_events_are_there(events: set[int]) -> bool:
    return events <= set(AuditEvent.objects.values_list("pk", flat=True))


def test_a_hold_that_came_first_keeps_what_the_prune_wanted(old_world: World, superuser: Superuser) -> None:
    events = set(AuditLeaf.objects.values_list("event_id", flat=True))
    with meeting(superuser) as both:
        hold, pruned = both.comes(lambda: holds(old_world)), both.comes(prunes)
    assert hold.result().lifted_at is None
    with pytest.raises(OperationalError, match="held"):
        pruned.result()
    assert held_events_are_there(events)
    assert not AuditEvent.objects.with_action("audit.log-pruned").exists()
    lift_hold(hold.result(), actor=acting(old_world.admin, "retention"))
    assert prunes() == len(events) == 3


def test_a_prune_that_came_first_is_seen_by_the_hold(old_world: World, superuser: Superuser) -> None:
    with meeting(superuser) as both:
        pruned, late = both.comes(prunes), both.comes(lambda: holds(old_world))
        wider = both.comes(lambda: holds(old_world, HeldSpan()))
    assert pruned.result() == 3
    with pytest.raises(Conflict, match="hold_range_pruned"):
        late.result()
    assert wider.result().from_leaf == PRUNE_STEP, "it holds what is still there, and does not say more"
    assert AuditHold.objects.count() == 1


def test_when_nobody_orders_them_still_one_side_wins(old_world: World) -> None:
    events = set(AuditLeaf.objects.values_list("event_id", flat=True))
    outcomes = in_parallel(6, lambda number: holds(old_world) if number % 2 else prunes())
    held = [each for each in outcomes if isinstance(each, AuditHold)]
    pruned = [each for each in outcomes if isinstance(each, int)]
    refused = [each for each in outcomes if isinstance(each, Conflict | OperationalError)]
    assert len(held) + len(pruned) + len(refused) == 6, outcomes
    assert bool(held) != bool(sum(pruned)), outcomes
    assert held_events_are_there(events) == bool(held)
