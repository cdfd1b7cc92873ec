"""Nobody waits for somebody else's receiver: slow ones, failing ones and those of one host leave threads to the others."""

import threading
import time
from datetime import timedelta
from functools import partial

import pytest
from django.db import connections

from audit import clock
from keys.dispatch.cursor import read_all
from keys.models import WebhookDelivery
from keys.webhooks import queue, turns
from keys.webhooks.delivering import deliver_due
from keys.webhooks.queue import queue_deliveries
from tests.keys.webhooks.deliveries import JOB, deliver, hear, make_due, told
from tests.keys.webhooks.receivers import Receiver, receiving
from tests.people import World, submitted
from tests.sealers import SealingThread

pytestmark = pytest.mark.usefixtures("loopback")


def test_a_slow_receiver_delays_nobody_else(sealing: SealingThread, world: World, receiver: Receiver) -> None:
    with receiving() as slow:
        slow.delay = 60  # whoever sends gives up after ten seconds
        first = told(world, slow.url).endpoint
        submitted(world, name="First")
        hear(sealing)
        sending = threading.Thread(
            target=lambda: (
                deliver_due(actor=JOB, listen=partial(read_all, queue.READER, (queue_deliveries,))),
                connections.close_all(),
            )
        )
        sending.start()
        while not slow.came:
            time.sleep(0.01)
        told(world, receiver.url)
        submitted(world, name="Second")  # one worker, and it is waiting for the slow receiver
        sealing.settle()
        while not receiver.accepted and sending.is_alive():
            time.sleep(0.01)
        assert not WebhookDelivery.objects.filter(endpoint=first).exclude(outcome="").exists(), "it is still waited for"
        slow.delay = 0
        sending.join()


def test_failing_receivers_never_take_every_thread(
    sealing: SealingThread, world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_TARDY", 1)
    for _ in range(3):
        told(world, "http://127.0.0.1:1/")
    submitted(world)
    deliver(sealing)
    make_due()
    parcels = queue.take_due(sending=())
    assert len(parcels) == 1
    assert queue.take_due(sending=parcels) == []


def test_receivers_that_accept_late_are_known_by_it_and_never_take_every_thread(
    sealing: SealingThread, world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_TARDY", 1)
    with receiving() as late:
        for _ in range(3):
            told(world, late.url)
        prompt = told(world, receiver.url).endpoint
        submitted(world, name="First")
        assert deliver(sealing) == 4
        WebhookDelivery.objects.exclude(endpoint=prompt).update(latency_ms=turns.LATE_MS)
        submitted(world, name="Second")
        hear(sealing)
        parcels = queue.take_due(sending=())
        assert [parcel.is_tardy for parcel in parcels].count(True) == 1
        assert prompt.pk in {parcel.endpoint_id for parcel in parcels if not parcel.is_tardy}
        assert queue.take_due(sending=parcels) == []
        make_due()
        assert deliver_due(actor=JOB) == 4  # in time, and with that they are prompt again
        submitted(world, name="Third")
        hear(sealing)
        assert [parcel.is_tardy for parcel in queue.take_due(sending=())] == [False] * 4


def test_the_endpoints_of_one_host_never_take_every_thread(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    for number in range(turns.MOST_FOR_ONE_HOST + 2):
        told(world, f"http://127.0.0.1:{receiver.port}/{number}")
    other = told(world, f"http://localhost:{receiver.port}/").endpoint
    submitted(world)
    hear(sealing)
    parcels = queue.take_due(sending=())
    theirs = [parcel for parcel in parcels if parcel.endpoint_id != other.pk]
    assert (len(theirs), len(parcels)) == (turns.MOST_FOR_ONE_HOST, turns.MOST_FOR_ONE_HOST + 1)
    assert queue.take_due(sending=parcels) == []
    assert len(queue.take_due(sending=theirs[2:])) == 2, "as soon as some of them are done"


def test_whoever_waits_longest_is_served_first(
    sealing: SealingThread, world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint with a long backlog takes a thread in turn: whoever was added later is not kept waiting by it for ever."""
    waits = sorted((told(world, receiver.url).endpoint.pk for _ in range(3)), reverse=True)
    submitted(world)
    hear(sealing)
    for hours, endpoint in enumerate(waits):
        due = clock.now() - timedelta(hours=len(waits) - hours)
        WebhookDelivery.objects.filter(endpoint_id=endpoint).update(next_attempt_at=due)
    monkeypatch.setattr(turns, "AT_ONCE", 1)
    assert [queue.take_due(sending=())[0].endpoint_id for _ in waits] == waits
