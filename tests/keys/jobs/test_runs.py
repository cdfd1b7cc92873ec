"""One run a slot, whoever is woken and however often; what was left or failed is taken again; nothing is made up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError

from audit import clock
from audit.actor import Actor
from keys.errors import Conflict
from keys.jobs.kinds import KINDS
from keys.jobs.runs import code_of, forget_runs, run_slot, take
from keys.jobs.schedules import create_schedules
from keys.models import JobRun, JobSchedule
from keys.tasks import JOBS, SCHEDULE
from portal.celery import app
from tests.races import in_parallel

Superuser = psycopg.Connection[tuple[Any, ...]]
# A slot long enough that no test crosses its border but by intent.
DAILY = KINDS["keys.propose_unused"]


@pytest.fixture
def day(superuser: Superuser, committed_db: None) -> None:
    """Cut time into days, so that all knocks of a test fall into one slot."""
    superuser.execute("ALTER TABLE keys_jobschedule DISABLE TRIGGER USER")
    superuser.execute("UPDATE keys_jobschedule SET period_seconds = 86400 * 365")


def test_every_kind_has_a_task_a_wake_and_a_schedule(db: None) -> None:
    assert KINDS.keys() == JOBS.keys() == SCHEDULE.keys()
    assert set(SCHEDULE) <= set(app.tasks)
    assert {each.kind for each in JobSchedule.objects.all()} == set(KINDS)
    assert create_schedules(actor=Actor.system("again")) == 0


def test_a_promise_of_a_minute_is_kept_though_one_message_is_lost() -> None:
    for kind in KINDS.values():
        assert kind.wake <= kind.period <= kind.longest
        if kind.longest <= 60:
            assert kind.longest + 2 * kind.wake <= 80
    for name in ("keys.end_what_is_over", "keys.rotate", "keys.react", "keys.send_webhooks"):
        assert KINDS[name].longest + 2 * KINDS[name].wake <= 60, name


def test_ten_deliveries_from_three_workers_are_one_run(day: None) -> None:
    ran = []
    told = in_parallel(10, lambda _: run_slot(DAILY, lambda: ran.append(1) or 7))
    assert ran == [1]
    assert sorted(told) == [0] * 9 + [7]
    run = JobRun.objects.get()
    assert (run.done, run.failures, run.code, run.attempts) == (7, 0, "", 1)
    assert run.ended_at is not None


def test_a_slot_that_is_done_is_not_done_again_and_the_next_one_is(day: None, superuser: Superuser) -> None:
    assert run_slot(DAILY, lambda: 1) == 1
    assert run_slot(DAILY, lambda: 1) == 0
    superuser.execute("UPDATE keys_jobrun SET slot = slot - interval '1 year'")
    assert run_slot(DAILY, lambda: 1) == 1


def test_what_a_killed_worker_left_is_taken_again_after_its_lease(day: None, superuser: Superuser) -> None:
    left = take(DAILY)
    assert left is not None
    assert take(DAILY) is None
    superuser.execute("UPDATE keys_jobrun SET free_at = clock_timestamp() - interval '1 second'")
    assert JobRun.objects.died(clock.now()).count() == 1
    assert run_slot(DAILY, lambda: 3) == 3
    run = JobRun.objects.get()
    assert (run.attempts, run.done, run.code) == (2, 3, "")


def test_a_worker_that_wakes_up_again_changes_nothing(day: None, superuser: Superuser) -> None:
    def overtaken() -> int:
        superuser.execute("UPDATE keys_jobrun SET free_at = clock_timestamp() - interval '1 second'")
        assert run_slot(DAILY, lambda: 5) == 5
        return 9

    assert run_slot(DAILY, overtaken) == 9
    assert JobRun.objects.get().done == 5


def test_a_failed_run_says_why_and_is_tried_again_after_a_pause(day: None, superuser: Superuser) -> None:
    def fail() -> int:
        raise OperationalError("the row says what nobody should read here")

    with pytest.raises(OperationalError):
        run_slot(DAILY, fail)
    run = JobRun.objects.get()
    assert (run.code, run.failures) == ("operational_error", 1)
    assert run.free_at > clock.now()
    assert run_slot(DAILY, lambda: 1) == 0
    superuser.execute("UPDATE keys_jobrun SET free_at = clock_timestamp()")
    assert run_slot(DAILY, lambda: 1) == 1
    assert JobRun.objects.get().code == ""


def test_a_code_is_a_word_and_never_a_message() -> None:
    assert code_of(Conflict("wrong_version_state", state="active")) == "wrong_version_state"
    assert code_of(ValueError("ks_prod_secret")) == "value_error"


def test_runs_that_tell_nothing_are_forgotten_and_failures_are_kept(day: None, superuser: Superuser) -> None:
    at = clock.now()
    for hours, code in ((0, ""), (72, ""), (73, "busy_retry"), (960, "busy_retry")):
        slot = at - timedelta(hours=hours)
        JobRun.objects.create(
            kind="keys.react", slot=slot, worker="w", started_at=slot, free_at=slot, ended_at=slot, code=code
        )
    assert forget_runs() == 2
    assert sorted(JobRun.objects.values_list("code", flat=True)) == ["", "busy_retry"]
