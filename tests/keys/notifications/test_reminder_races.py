"""Reminders with real commits and a real mail server: workers that sweep at once, one that is killed, a server that is down."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from keys.models import Notice, Reminder
from tests.keys.notifications.test_mail import send
from tests.people import World, approved
from tests.postbox import Postbox
from tests.sealers import SealingThread

ROOT = Path(__file__).resolve().parents[3]
# A process that reminds as of a day before the claims lapse, and is killed at the first statement that holds these words.
SWEEP = """
import os, signal, sys
from datetime import timedelta
import django
django.setup()
from django.db import connection
from audit import clock
from keys.notifications.digests import release_reminders
from keys.notifications.reminders import remind
def watched(execute, sql, params, many, context):
    if sys.argv[1] and sys.argv[1] in sql:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, params, many, context)
at = clock.now() + timedelta(hours=49)
with connection.execute_wrapper(watched):
    remind(at=at)
    release_reminders(at=at)
"""


def sweep(killed_at: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SWEEP, killed_at], cwd=ROOT, env=os.environ, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> int:
    _, complaints = process.communicate(timeout=60)
    assert not complaints, complaints
    return process.returncode


@pytest.mark.parametrize("killed_at", ['INSERT INTO "keys_notice"', 'UPDATE "keys_notice"'])
def test_a_sweep_that_is_killed_is_taken_up_and_tells_everybody_once(
    world: World, sealing: SealingThread, killed_at: str
) -> None:
    for _ in range(2):
        approved(world)
    sealing.settle()
    assert ended(sweep(killed_at)) == -signal.SIGKILL
    assert not Notice.objects.unsent().exists()
    workers = [sweep() for _ in range(3)]
    assert [ended(worker) for worker in workers] == [0, 0, 0]
    assert Reminder.objects.count() == 2
    assert Notice.objects.unsent().filter(person=world.alice, kind="reminder.claim-lapsing").count() == 2
    assert Notice.objects.count() == 2


def test_a_server_that_is_down_gets_each_reminder_once_when_it_is_back(
    world: World, sealing: SealingThread, superuser: psycopg.Connection[Any]
) -> None:
    approved(world)
    sealing.settle()
    assert ended(sweep()) == 0
    with Postbox() as away:
        pass
    assert send(away) == 0
    assert Notice.objects.get().sent_at is None
    superuser.execute("UPDATE keys_notice SET next_attempt_at = clock_timestamp()")
    with Postbox() as postbox:
        assert send(postbox) == 0
        assert send(postbox) == 0
    (mail,) = postbox.mails
    notice = Notice.objects.get()
    assert mail["Message-ID"].strip() == f"<{notice.event_uid}.{world.alice.pk}@localhost>"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert notice.sent_at is not None
