"""Mail servers and chats that are down or slow, on loopback: sent once when they are back, none lost, none twice, nobody else held up."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connections

from audit import clock
from audit.actor import Actor
from keys.dispatch.cursor import read_all
from keys.models import Notice, WebhookDelivery
from keys.models.notices import MOST_ATTEMPTS
from keys.notifications import mail
from keys.notifications.chats import tell_chats
from keys.notifications.mail import PAUSES, send_waiting
from keys.notifications.reactions import READER, notice_everyone
from keys.webhooks import queue
from keys.webhooks.chats import add_chat
from keys.webhooks.delivering import deliver_due
from keys.webhooks.endpoints import add_endpoint
from keys.webhooks.queue import queue_deliveries
from tests.keys.webhooks.receivers import receiving
from tests.people import World, acting, issued, submitted
from tests.postbox import Postbox
from tests.sealers import SealingThread

JOB = Actor.job("send_webhooks")


@pytest.fixture(autouse=True)
def _loopback(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.KEYSTEAD_WEBHOOK_LOOPBACK = True
    monkeypatch.setattr(mail, "REST_SECONDS", 0.0)
    yield
    mail._resting_until = 0.0


def by_smtp(settings: Any, port: int) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port


def told(sealing: SealingThread) -> None:
    sealing.settle()
    read_all(READER, (notice_everyone, tell_chats))
    read_all(queue.READER, (queue_deliveries,))


def make_due() -> None:
    past = clock.now() - timedelta(seconds=1)
    Notice.objects.filter(sent_at=None).update(next_attempt_at=past)
    WebhookDelivery.objects.filter(state="waiting").update(next_attempt_at=past, lease_until=None)


def chat(world: World, url: str, *kinds: str) -> Any:
    return add_chat(
        world.reporting,
        url=url,
        kinds=kinds or ("needs", "reminders", "changes", "news"),
        description="Reporting",
        actor=acting(world.alice, "webhooks"),
    )


def test_a_mail_server_that_was_down_gets_every_mail_once_when_it_is_back(
    sealing: SealingThread, world: World, settings: Any
) -> None:
    with Postbox() as before:
        port = before.server_address[1]
    by_smtp(settings, port)
    for number in range(4):
        submitted(world, name=f"Report {number}")
    told(sealing)
    waiting = Notice.objects.unsent().count()
    assert waiting >= 12
    for _ in range(MOST_ATTEMPTS + 1):
        assert send_waiting() == 0
    assert set(Notice.objects.unsent().values_list("attempts", flat=True)) == {0}, "being down costs no mail an attempt"
    with Postbox(port) as back:
        assert send_waiting() == waiting
        make_due()
        assert send_waiting() == 0
        ids = [mail["Message-ID"] for mail in back.mails]
    assert len(ids) == len(set(ids)) == waiting
    assert not Notice.objects.unsent().exists()


def test_a_server_that_goes_away_in_the_middle_gets_the_rest_later(
    sealing: SealingThread, world: World, settings: Any
) -> None:
    for number in range(3):
        submitted(world, name=f"Report {number}")
    told(sealing)
    waiting = Notice.objects.unsent().count()
    with Postbox(most=2) as dying:
        port = dying.server_address[1]
        by_smtp(settings, port)
        assert send_waiting() == 2
        first = list(dying.mails)
    with Postbox(port) as back:
        make_due()
        assert send_waiting() == waiting - 2
        ids = [mail["Message-ID"] for mail in (*first, *back.mails)]
    assert len(ids) == len(set(ids)) == waiting


def test_a_mail_that_is_refused_or_cannot_be_written_holds_up_no_other(
    sealing: SealingThread, world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(world)
    told(sealing)
    waiting = Notice.objects.unsent().count()
    unsayable = Notice.objects.get(person=world.bob)
    Notice.objects.filter(pk=unsayable.pk).update(kind="never.heard-of")
    with Postbox(refuses={"ben@example.com"}) as postbox:
        by_smtp(settings, postbox.server_address[1])
        with pytest.raises(KeyError):
            send_waiting()
        assert len(postbox.mails) == waiting - 2
    left = Notice.objects.unsent()
    assert set(left.values_list("person__name", "attempts")) == {("Bob", 1), ("Ben", 1)}
    left.update(attempts=MOST_ATTEMPTS)
    assert Notice.objects.given_up().count() == 2, "and people are shown it"
    assert len(PAUSES) == MOST_ATTEMPTS


def test_a_chat_that_was_down_is_told_once_when_it_is_back(sealing: SealingThread, world: World) -> None:
    with receiving() as before:
        port = before.port
    chat(world, before.url)
    for number in range(3):
        issued(world, name=f"Report {number}")
    told(sealing)
    waiting = WebhookDelivery.objects.count()
    assert waiting >= 3
    assert deliver_due(actor=JOB) == 0
    with receiving(port) as back:
        back.status = 200
        make_due()
        assert deliver_due(actor=JOB) == waiting
        make_due()
        assert deliver_due(actor=JOB) == 0
        bodies = [came.body for came in back.came]
    assert len(bodies) == waiting
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"accepted"}
    for body in bodies:
        assert set(json.loads(body)) == {"text", "blocks"}


@pytest.mark.parametrize("seconds", [90, pytest.param(1, marks=pytest.mark.long)])
def test_a_slow_chat_and_a_slow_mail_server_delay_nobody_else(
    sealing: SealingThread, world: World, settings: Any, seconds: int
) -> None:
    """Both hang for longer than the others need; the short time is asked for where the machine has nothing else to do."""
    with receiving() as slow, receiving() as quick, Postbox(delay=60) as postbox:
        slow.delay = 60  # whoever sends gives up after ten seconds
        by_smtp(settings, postbox.server_address[1])
        hanging = chat(world, slow.url)
        issued(world, name="First")
        told(sealing)

        def listen() -> None:
            read_all(READER, (notice_everyone, tell_chats))
            read_all(queue.READER, (queue_deliveries,))

        threads = [
            threading.Thread(target=_alone, args=(partial(deliver_due, actor=JOB, listen=listen),)),
            threading.Thread(target=_alone, args=(partial(send_waiting, most=1),)),
        ]
        for each in threads:
            each.start()
        try:
            wait_for(lambda: slow.came and postbox.conversations, seconds=90)
            add_endpoint(
                world.reporting, url=quick.url, kinds=["request.submitted"], description="Quick",
                actor=acting(world.alice, "webhooks"),
            )  # fmt: skip
            chat(world, quick.url)
            issued(world, name="Second")
            sealing.settle()
            # A signed event and a sentence for the chat.
            wait_for(lambda: {bool(came.message_id) for came in quick.came} == {True, False}, seconds=seconds)
            waited_for = WebhookDelivery.objects.filter(endpoint=hanging)
            assert not waited_for.exclude(outcome="").exists(), "the slow ones are still waited for"
            assert not postbox.mails
        finally:
            slow.delay = postbox.delay = 0
            for each in threads:
                each.join()
        assert len(postbox.mails) == 1


def _alone(work: Callable[[], object]) -> None:
    work()
    connections.close_all()


def wait_for(happened: Callable[[], object], *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "too late"
        time.sleep(0.01)
