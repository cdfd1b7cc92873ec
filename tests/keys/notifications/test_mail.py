"""Mail goes out at least once: killed at the worst moment it comes twice, under the same Message-ID, and is never lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from keys.dispatch.cursor import read_all
from keys.models import Notice
from keys.notifications.reactions import READER, notice_everyone
from tests.people import World, submitted
from tests.postbox import Postbox
from tests.sealers import SealingThread

ROOT = Path(__file__).resolve().parents[3]
# A process that sends, and is killed at the first statement that holds these words.
SENDER = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from keys.notifications.mail import send_waiting
def watched(execute, sql, params, many, context):
    if sys.argv[1] and sys.argv[1] in sql:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, params, many, context)
with connection.execute_wrapper(watched):
    print(send_waiting())
"""


def send(postbox: Postbox, killed_at: str = "") -> int:
    ended = subprocess.run(
        [sys.executable, "-c", SENDER, killed_at],
        cwd=ROOT,
        env=os.environ | {"EMAIL_URL": postbox.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not ended.stderr, ended.stderr
    return ended.returncode


@pytest.mark.parametrize(("killed_at", "copies"), [('SET "sent_at"', 2), ('"keys_person"', 1)])
def test_a_mail_is_doubled_only_between_the_servers_yes_and_our_note(
    world: World, sealing: SealingThread, superuser: psycopg.Connection[Any], killed_at: str, copies: int
) -> None:
    submitted(world)
    sealing.settle()
    read_all(READER, (notice_everyone,))
    Notice.objects.exclude(person=world.carol).delete()
    with Postbox() as postbox:
        assert send(postbox, killed_at) == -signal.SIGKILL
        assert len(postbox.mails) == copies - 1
        assert Notice.objects.get().sent_at is None
        assert send(postbox) == 0  # still under the lease of the one that died
        assert len(postbox.mails) == copies - 1
        superuser.execute("UPDATE keys_notice SET next_attempt_at = clock_timestamp()")
        assert send(postbox) == 0
        assert send(postbox) == 0
    assert [mail["To"] for mail in postbox.mails] == ["carol@example.com"] * copies
    notice = Notice.objects.get()
    assert {mail["Message-ID"].strip() for mail in postbox.mails} == {
        f"<{notice.event_uid}.{world.carol.pk}@localhost>"
    }
    assert notice.sent_at is not None
