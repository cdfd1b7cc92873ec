"""Administrators see how every job is and say how often it runs; responders and auditors look; others see none of it."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from audit import clock
from audit.models import AuditEvent, AuditInspection
from keys.jobs.kinds import KINDS
from keys.jobs.overview import job_states
from keys.jobs.runs import run_slot
from keys.models import JobLease, JobRun, JobSchedule
from portal.job_health import jobs_part
from tests.portal.doorway import signed_in

pytestmark = pytest.mark.django_db
ROTATE = KINDS["keys.rotate"]


def schedule_address() -> str:
    return reverse("job_schedule", args=[JobSchedule.objects.get(kind="keys.rotate").pk])


def trouble(world, **columns):
    at = clock.now()
    given = {
        "kind": "keys.rotate",
        "step": "prepare_rotation",
        "subject_type": "service",
        "subject_id": world.orders.pk,
    }
    times = {"taken_at": at, "first_taken_at": at, "free_at": at + timedelta(minutes=5)}
    return JobLease.objects.create(**{**given, **times, "worker": "host:7", "code": "wrong_version_state", **columns})


@pytest.mark.parametrize("who", ["admin", "responder", "auditor"])
def test_those_who_answer_for_the_whole_see_every_job_and_what_to_do(world, who):
    run_slot(ROTATE, lambda: 3)
    trouble(world)
    page = signed_in(getattr(world, who)).get(reverse("health")).content.decode()
    for kind in KINDS.values():
        assert str(kind.label) in page
    assert "3 done" in page
    assert "wrong version state" in page
    assert "%(" not in page, "words that nobody filled"
    assert "Orders" in page
    assert str(world.orders.pk) not in page, "no bare identifiers"
    assert (schedule_address() in page) == (who == "admin")


@pytest.mark.parametrize("who", ["alice", "bob", "mallory"])
def test_others_see_the_parts_and_no_job(world, who):
    trouble(world)
    page = signed_in(getattr(world, who)).get(reverse("health")).content.decode()
    assert "prepare rotation" not in page
    assert "Nothing is stuck" not in page
    assert "wrong version state" not in page
    assert not AuditEvent.objects.filter(action="access.denied").exists()


def test_nothing_in_trouble_is_said_in_words(world):
    assert "Nothing is stuck" in signed_in(world.admin).get(reverse("health")).content.decode()


def test_an_administrator_says_how_often_with_presence_and_on_record(world):
    client = signed_in(world.admin, "policy")
    assert client.get(schedule_address()).status_code == 200
    assert client.post(schedule_address(), {"period_seconds": "10"}).status_code == 302
    assert JobSchedule.objects.get(kind="keys.rotate").period_seconds == 10
    assert AuditEvent.objects.filter(action="schedule.changed").count() == 1


@pytest.mark.parametrize("seconds", ["0", "1", "21", "-5", "x", "", "99999999999999999999"])
def test_no_job_is_set_to_what_would_break_a_promise(world, seconds):
    answer = signed_in(world.admin, "policy").post(schedule_address(), {"period_seconds": seconds})
    assert answer.status_code == 422
    assert JobSchedule.objects.get(kind="keys.rotate").period_seconds == ROTATE.period


def test_without_presence_nothing_changes(world):
    assert signed_in(world.admin).post(schedule_address(), {"period_seconds": "10"}).status_code == 422
    assert JobSchedule.objects.get(kind="keys.rotate").period_seconds == ROTATE.period


@pytest.mark.parametrize("who", ["alice", "mallory", "responder", "auditor"])
def test_nobody_else_finds_the_form(world, who):
    client = signed_in(getattr(world, who), "policy")
    assert client.get(schedule_address()).status_code == 404
    assert client.post(schedule_address(), {"period_seconds": "10"}).status_code == 404


def test_strangers_sign_in_and_unknown_schedules_are_not_there(world):
    assert Client().get(schedule_address()).status_code == 302
    assert signed_in(world.admin).get(reverse("job_schedule", args=[uuid.uuid4()])).status_code == 404


def test_what_is_due_for_long_is_late_and_what_fails_is_red(world):
    at = clock.now()
    for kind in KINDS:
        JobRun.objects.create(kind=kind, slot=at, started_at=at, free_at=at, ended_at=at, worker="w")
    assert {each.kind.name for each in job_states(at) if not each.is_well} == set()
    assert jobs_part().ok
    trouble(world)
    assert (jobs_part().reason, jobs_part().detail) == ("failing", "keys.rotate")
    AuditInspection.objects.create(uid=uuid.uuid4(), asked_at=at - timedelta(seconds=90), asked_by="job:inspect_log")
    part = jobs_part()
    assert part.reason == "late"
    assert part.detail.startswith("keys.inspect_log, 9")


def test_a_slot_that_nobody_came_for_is_late(world):
    JobRun.objects.filter(kind="keys.check_integrity").delete()
    old = clock.now() - timedelta(minutes=10)
    JobRun.objects.create(kind="keys.check_integrity", slot=old, started_at=old, free_at=old, ended_at=old, worker="w")
    state = next(each for each in job_states(clock.now()) if each.kind.name == "keys.check_integrity")
    assert state.is_late
