"""Mail goes out at least once: killed at the worst moment it comes twice, under the same Message-ID, and is never lost."""

import signal
from typing import Any

import psycopg
import pytest
from django.test import override_settings
from environ import Env

from keys.dispatch.cursor import read_all
from keys.models import Notice
from keys.notifications.mail import send_waiting
from keys.notifications.reactions import READER, notice_everyone
from tests.forks import Fork, killed_at
from tests.people import World, submitted
from tests.postbox import Postbox
from tests.sealers import SealingThread


def send(postbox: Postbox, at: str = "") -> int:
    """Let a worker send what waits, and be killed at the first statement that holds these words; how it ended."""
    return Fork(sending, postbox.url, at).ended()


def sending(email_url: str, at: str) -> None:
    with override_settings(**Env.email_url_config(email_url)), killed_at(at):
        send_waiting()


@pytest.mark.parametrize(("at", "copies"), [('SET "sent_at"', 2), ('"keys_person"', 1)])
def test_a_mail_is_doubled_only_between_the_servers_yes_and_our_note(
    world: World, sealing: SealingThread, superuser: psycopg.Connection[Any], at: str, copies: int
) -> None:
    submitted(world)
    sealing.settle()
    read_all(READER, (notice_everyone,))
    Notice.objects.exclude(person=world.carol).delete()
    with Postbox() as postbox:
        assert send(postbox, at) == -signal.SIGKILL
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
