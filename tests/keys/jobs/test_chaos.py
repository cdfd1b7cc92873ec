"""Real workers and schedulers while Valkey is emptied, stopped, and filled with nonsense: each effect once, none late.

The short form runs with every `make test`; the long ones take minutes.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from benchmarks.emergency.population import Owners, make_keys
from keys.models import JobLease, JobRun, KeyVersion, Rotation
from portal.celery import app
from portal.embedded import Engines
from tests.audit.processes import wait_until
from tests.keys.jobs.processes import CeleryProcess, silenced
from tests.keys.test_tasks import age
from tests.people import World

Superuser = psycopg.Connection[tuple[Any, ...]]
Launch = Callable[..., CeleryProcess]
QUEUE = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"] + "celery"
END, ROTATE = "keys.end_what_is_over", "keys.rotate"
GARBAGE = (b"\xff\xfe", b"{", b"null", b"[]", b'{"body": 1}', b'{"body": "x", "headers": {}, "properties": {}}')
# DESIGN, invariant 10.
LATEST = timedelta(seconds=60)


@dataclass(frozen=True)
class Size:
    """How much, and how long in seconds of ours."""

    keys: int
    silence: float
    faster: float
    schedule: float


SHORT = Size(keys=30, silence=1, faster=4, schedule=0)
# Ten minutes, as the scheduler counts them. Valkey is gone for half a minute of ours: workers have no clock to hurry, and longer than
# a lease and than every pause between two attempts to connect is all that five minutes would be.
LONG = Size(keys=200, silence=30, faster=4, schedule=150)


def make_due(world: World, superuser: Superuser, count: int) -> None:
    """Let the time of half of `count` versions be over, and the rotation of the other half be due, from one moment on."""
    owners = Owners(team=world.reporting, recipient=world.alice, service=world.orders, scopes=("orders:read",))
    make_keys(owners, count=count, actor=Actor.system("tests"))
    half = "(SELECT id FROM keys_managedkey ORDER BY number LIMIT {} OFFSET {})"
    over, rotated = half.format(count // 2, 0), half.format(count, count // 2)
    superuser.execute("ALTER TABLE keys_rotation DISABLE TRIGGER USER")
    superuser.execute(f"UPDATE keys_rotation SET due_at = clock_timestamp() WHERE managed_key_id IN {rotated}")
    superuser.execute("ALTER TABLE keys_rotation ENABLE TRIGGER USER")
    age(superuser, f"UPDATE keys_keyversion SET expires_at = clock_timestamp() WHERE managed_key_id IN {over}")


def is_done() -> bool:
    """Nothing that was made due is left."""
    return not KeyVersion.objects.over_by(_now()).exists() and not Rotation.objects.due(_now()).exists()


def _now() -> datetime:
    return clock.now()


def effects(action: str) -> Counter[str]:
    return Counter(AuditEvent.objects.filter(action=action).values_list("target_id", flat=True))


def assert_each_effect_once(count: int) -> None:
    for action in ("version.deactivated", "rotation.prepared"):
        found = effects(action)
        assert len(found) == count // 2, (action, len(found))
        assert set(found.values()) == {1}, action
    assert not JobLease.objects.exclude(code="").exists()


def wait_for_work(*workers: CeleryProcess) -> None:
    """Wait until a run came to an end."""
    seen = JobRun.objects.order_by("-pk").values_list("pk", flat=True).first() or 0

    def one_more() -> bool:
        assert all(each.lives() for each in workers), workers[0].log()[-4000:]
        return JobRun.objects.filter(pk__gt=seen).exclude(ended_at=None).exists()

    wait_until(one_more)


def test_everything_at_once(
    launched: Launch, world: World, superuser: Superuser, valkey: redis.Redis, engines: Engines
) -> None:
    """The short form: two schedulers, a worker, Valkey killed and emptied, messages tenfold, stolen, forged, shuffled."""
    make_due(world, superuser, SHORT.keys)
    beats = [launched("beat", name, faster=SHORT.faster) for name in ("b1", "b2")]
    worker = launched("worker", "w1")
    valkey.flushall()
    _silence(engines, SHORT.silence)
    deadline = time.monotonic() + 2 * LATEST.total_seconds()  # how late is asserted by the long forms
    while not is_done() or "message_unreadable" not in worker.log():
        assert time.monotonic() < deadline, worker.log()[-4000:]
        assert all(each.lives() for each in (worker, *beats)), worker.log()[-4000:]
        _write_nonsense(valkey, random.Random(1))
        time.sleep(0.5)  # a sender that never stops would only test how fast messages are refused
    assert_each_effect_once(SHORT.keys)


@pytest.mark.long
def test_valkey_is_emptied_and_stopped_for_long_with_200_jobs_due(
    launched: Launch, world: World, superuser: Superuser, valkey: redis.Redis, engines: Engines
) -> None:
    worker, beat = launched("worker", "w1"), launched("beat", "b1", faster=LONG.faster)
    wait_for_work(worker)
    valkey.flushall()
    with silenced(engines):
        make_due(world, superuser, LONG.keys)
        time.sleep(LONG.silence)  # what is tested: how long nobody rings
        left = KeyVersion.objects.over_by(_now()).count() + Rotation.objects.due(_now()).count()
    back = _now()
    _wait_until_done()
    assert left == LONG.keys, "nobody was woken"
    assert worker.lives()
    assert beat.lives()
    assert_each_effect_once(LONG.keys)
    assert _last_effect() - back <= LATEST


@pytest.mark.long
def test_messages_come_ten_times_not_at_all_forged_and_out_of_order(
    launched: Launch, world: World, superuser: Superuser, valkey: redis.Redis
) -> None:
    """No scheduler: what the worker gets is what we write, and half of it is stolen again."""
    chance = random.Random(LONG.keys)
    workers = [launched("worker", "w1"), launched("worker", "w2")]
    app.send_task(END)
    wait_for_work(*workers)
    make_due(world, superuser, LONG.keys)
    began = _now()
    deadline = time.monotonic() + LATEST.total_seconds() + 30
    while not is_done():
        assert time.monotonic() < deadline, workers[0].log()[-4000:]
        assert all(each.lives() for each in workers), workers[0].log()[-4000:]
        _write_nonsense(valkey, chance)
        time.sleep(0.5)
    last = _last_effect()
    for _ in range(3):
        _write_nonsense(valkey, chance)
    wait_until(lambda: valkey.llen(QUEUE) == 0)
    assert_each_effect_once(LONG.keys)
    assert last - began <= LATEST
    assert all(each.lives() for each in workers)
    assert any("message_unreadable" in each.log() for each in workers)


@pytest.mark.long
def test_two_schedulers_and_two_workers_do_each_thing_once(
    launched: Launch, world: World, superuser: Superuser
) -> None:
    workers = [launched("worker", "w1"), launched("worker", "w2")]
    beats = [launched("beat", "b1", faster=LONG.faster), launched("beat", "b2", faster=LONG.faster)]
    wait_for_work(*workers)
    make_due(world, superuser, LONG.keys)
    began, since = time.monotonic(), _now()
    while time.monotonic() < began + LONG.schedule or not is_done():
        assert time.monotonic() < began + LATEST.total_seconds() + LONG.schedule, workers[0].log()[-4000:]
        wait_for_work(*workers)
    assert all(each.lives() for each in (*workers, *beats))
    assert_each_effect_once(LONG.keys)
    assert _last_effect() - since <= LATEST
    slots = Counter(JobRun.objects.values_list("kind", "slot"))
    assert set(slots.values()) == {1}
    assert len({run.worker for run in JobRun.objects.all()}) > 2, "both took part"


@pytest.mark.long
def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_half_done(
    launched: Launch, world: World, superuser: Superuser
) -> None:
    """Killed three times as soon as it has begun; the next worker does what is left, after the leases."""
    launched("beat", "b1", faster=LONG.faster)
    make_due(world, superuser, LONG.keys)
    for number in range(3):
        worker = launched("worker", f"w{number}")
        before = AuditEvent.objects.filter(action="rotation.prepared").count()
        wait_until(
            lambda before=before: AuditEvent.objects.filter(action="rotation.prepared").count() > before or is_done()
        )
        worker.kill()
    wait_for_work(launched("worker", "last"))
    ready = _now()
    _wait_until_done()
    for action in ("version.deactivated", "rotation.prepared"):
        assert set(effects(action).values()) == {1}
        assert len(effects(action)) == LONG.keys // 2
    assert _last_effect() - ready <= LATEST


def _wait_until_done() -> None:
    """Wait for longer than is promised, and tell on the way out how far it came: what is late is asserted by its caller."""
    deadline = time.monotonic() + 2 * LATEST.total_seconds()
    while not is_done():
        left = KeyVersion.objects.over_by(_now()).count(), Rotation.objects.due(_now()).count()
        newest = list(
            JobRun.objects.newest().filter(kind__in=(END, ROTATE)).values_list("kind", "started_at", "done", "code")
        )
        assert time.monotonic() < deadline, (left, newest, list(JobLease.objects.values_list("code", "free_at")[:3]))
        time.sleep(0.2)


def _silence(engines: Engines, seconds: float) -> None:
    with silenced(engines):
        time.sleep(seconds)


def _last_effect() -> datetime:
    """When the last effect was written."""
    written = AuditEvent.objects.filter(action__in=("version.deactivated", "rotation.prepared"))
    return written.order_by("-recorded_at").values_list("recorded_at", flat=True)[0]


def _write_nonsense(valkey: redis.Redis, chance: random.Random) -> None:
    """Ring ten times, forge, shuffle, and steal half of it."""
    for _ in range(10):
        app.send_task(END)
        app.send_task(ROTATE)
    app.send_task(END, args=["KEY-1", 17], kwargs={"force": True})
    app.send_task("keys.grant_everything", args=["mallory"])
    app.send_task("os.system", args=["id"])
    messages = valkey.lrange(QUEUE, 0, -1)
    valkey.delete(QUEUE)
    kept = [each for each in messages if chance.random() < 0.5] + [chance.choice(GARBAGE)]
    chance.shuffle(kept)
    valkey.rpush(QUEUE, *kept)
