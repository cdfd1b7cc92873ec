"""Reminders with real commits and a real mail server: workers that sweep at once, one that is killed, a server that is down."""

import signal
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from audit import clock
from keys.models import Notice, Reminder
from keys.notifications.digests import release_reminders
from keys.notifications.reminders import remind
from tests.forks import Fork, killed_at
from tests.keys.notifications.test_mail import send
from tests.people import World, approved
from tests.postbox import Postbox
from tests.sealers import SealingThread


def sweeping(at: str = "") -> None:
    """Remind as of a day before the claims lapse, and be killed at the first statement that holds these words."""
    later = clock.now() + timedelta(hours=49)
    with killed_at(at):
        remind(at=later)
        release_reminders(at=later)


@pytest.mark.parametrize("at", ['INSERT INTO "keys_notice"', 'UPDATE "keys_notice"'])
def test_a_sweep_that_is_killed_is_taken_up_and_tells_everybody_once(
    world: World, sealing: SealingThread, at: str
) -> None:
    for _ in range(2):
        approved(world)
    sealing.settle()
    assert Fork(sweeping, at).ended() == -signal.SIGKILL
    assert not Notice.objects.unsent().exists()
    workers = [Fork(sweeping) for _ in range(3)]
    assert [worker.ended() for worker in workers] == [0, 0, 0]
    assert Reminder.objects.count() == 2
    assert Notice.objects.unsent().filter(person=world.alice, kind="reminder.claim-lapsing").count() == 2
    assert Notice.objects.count() == 2


def test_a_server_that_is_down_gets_each_reminder_once_when_it_is_back(
    world: World, sealing: SealingThread, superuser: psycopg.Connection[Any]
) -> None:
    approved(world)
    sealing.settle()
    assert Fork(sweeping).ended() == 0
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
