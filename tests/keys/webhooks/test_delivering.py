"""Sealed events reach their receivers: none lost, none twice."""

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connections
from standardwebhooks import Webhook

from audit import clock
from audit.models import AuditEvent
from keys.dispatch.cursor import read_all
from keys.lifecycle.revocation import revoke_key
from keys.models import DispatchCursor, Notice, WebhookDelivery, WebhookEndpoint
from keys.notifications.reactions import notice_everyone
from keys.states import RevocationReason
from keys.tasks import send_webhooks
from keys.webhooks import queue
from keys.webhooks.again import redeliver, send_test_event
from keys.webhooks.delivering import deliver_due
from keys.webhooks.endpoints import (
    add_endpoint,
    disable_endpoint,
    enable_endpoint,
    remove_endpoint,
    rotate_endpoint_secret,
)
from keys.webhooks.queue import WAITS, forget_deliveries
from keys.webhooks.reach import kinds_for
from keys.webhooks.sending import send
from tests.keys.webhooks.deliveries import JOB, deliver, hear, make_due, told
from tests.keys.webhooks.receivers import Receiver, receiving
from tests.people import World, acting, issued, submitted
from tests.sealers import SealingThread

EVERYTHING = kinds_for(whole_organisation=True)


pytestmark = pytest.mark.usefixtures("loopback")


def test_a_team_is_told_of_its_keys_and_requests_and_nobody_elses(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    fresh = told(world, receiver.url, kinds=("request.submitted", "key.revoked"))
    add_endpoint(
        world.other, url=receiver.url, kinds=["key.revoked"], description="M", actor=acting(world.mallory, "webhooks")
    )
    key, _, _ = issued(world)
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.CESSATION_OF_OPERATION)
    assert deliver(sealing) == 2
    submitted_, revoked = sorted((came.facts for came in receiver.came), key=lambda facts: facts["timestamp"])
    event = AuditEvent.objects.get(action="key.revoked")
    assert revoked["type"] == "key.revoked"
    assert revoked["data"] == {
        "uid": str(event.uid),
        "target": {"type": "key", "id": str(key.pk), "number": str(key), "name": key.name},
        "environment": "prod",
        "outcome": "success",
        "leaf": revoked["data"]["leaf"],
    }
    assert submitted_["data"]["target"]["number"].startswith("REQ-")
    assert "Alice" not in str(receiver.came)
    assert "settlement" not in str(receiver.came)
    for came in receiver.came:
        Webhook(fresh.secret.reveal()).verify(came.body, came.headers)
    assert WebhookDelivery.objects.filter(endpoint__owner_team=world.other).count() == 0


def test_administrators_are_told_of_everything_they_chose(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    told(world, receiver.url, kinds=EVERYTHING, team=False)
    submitted(world)
    deliver(sealing)
    kinds = {came.facts["type"] for came in receiver.came}
    assert "request.submitted" in kinds


def test_reading_the_log_again_tells_nobody_twice(sealing: SealingThread, world: World, receiver: Receiver) -> None:
    told(world, receiver.url)
    submitted(world)
    assert deliver(sealing) == 1
    DispatchCursor.objects.filter(reader=queue.READER).update(next_leaf=0)
    assert deliver(sealing) == 0
    assert len(receiver.came) == 1


def test_what_happened_before_an_endpoint_was_added_is_not_sent_to_it(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    submitted(world)
    told(world, receiver.url)
    assert deliver(sealing) == 0


def test_a_receiver_that_was_down_gets_everything_once_when_it_is_back(sealing: SealingThread, world: World) -> None:
    with receiving() as before:
        port = before.port
    told(world, before.url)
    for number in range(5):
        submitted(world, name=f"Report {number}")
    assert deliver(sealing) == 0
    rows = list(WebhookDelivery.objects.all())
    assert [(row.state, row.outcome, row.attempts) for row in rows] == [("waiting", "unreachable", 1)] * 5
    assert all(row.next_attempt_at > clock.now() + timedelta(seconds=1) for row in rows)
    with receiving(port) as back:
        make_due()
        assert deliver_due(actor=JOB) == 5
        make_due()
        assert deliver_due(actor=JOB) == 0
        assert len(back.accepted) == len(set(back.accepted)) == 5
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"accepted"}


def test_several_workers_at_once_send_each_event_once(sealing: SealingThread, world: World, receiver: Receiver) -> None:
    told(world, receiver.url)
    for number in range(12):
        submitted(world, name=f"Report {number}")
    hear(sealing)

    def work() -> None:
        deliver_due(actor=JOB)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert sorted(receiver.accepted) == sorted(set(receiver.accepted))
    assert len(receiver.accepted) == 12


def test_after_the_schedule_the_endpoint_is_disabled_and_its_owners_are_told(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    assert sum(WAITS, timedelta()) == timedelta(hours=75, minutes=35, seconds=5)
    endpoint = told(world, receiver.url).endpoint
    receiver.status, receiver.says = 500, b"Internal error"
    submitted(world)
    deliver(sealing)
    for attempt in range(1, len(WAITS)):
        row = WebhookDelivery.objects.get()
        assert (row.state, row.attempts, row.status_code, row.answer) == ("waiting", attempt, 500, "Internal error")
        wait = row.next_attempt_at - row.attempted_at
        assert abs(wait - WAITS[attempt]) < timedelta(minutes=2)
        assert deliver_due(actor=JOB) == 0
        assert len(receiver.came) == attempt, "not before its time"
        make_due()
        deliver_due(actor=JOB)
    assert {came.message_id for came in receiver.came} == {receiver.came[0].message_id}
    endpoint.refresh_from_db()
    assert (endpoint.disabled_reason, WebhookDelivery.objects.get().state) == ("failing", "failed")
    event = AuditEvent.objects.get(action="webhook.disabled")
    assert (event.actor_type, event.envelope()["reason"]) == ("job", "failing")
    sealing.settle()
    read_all("notices", (notice_everyone,))
    assert set(Notice.objects.filter(kind="webhook.disabled").values_list("person__name", flat=True)) == {"Alice"}
    submitted(world, name="While it is disabled")
    assert deliver(sealing) == 0
    receiver.status = 204
    enable_endpoint(endpoint, actor=acting(world.alice, "webhooks"))
    assert deliver_due(actor=JOB) == 1


def test_a_receiver_that_says_gone_is_disabled_at_once(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    receiver.status = 410
    endpoint = told(world, receiver.url, team=False).endpoint
    submitted(world)
    deliver(sealing)
    endpoint.refresh_from_db()
    assert endpoint.disabled_reason == "gone"
    sealing.settle()
    read_all("notices", (notice_everyone,))
    told_of = Notice.objects.filter(kind="webhook.disabled").values_list("person__name", flat=True)
    assert set(told_of) == {"Admin", "Admin2"}


def test_killed_between_sending_and_noting_it_comes_again_under_the_same_id(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    told(world, receiver.url)
    submitted(world)
    hear(sealing)
    (parcel,) = queue.take_due(sending=())
    assert send(parcel).outcome == "accepted"  # and here the worker died
    assert deliver_due(actor=JOB) == 0, "the lease holds"
    make_due()
    assert deliver_due(actor=JOB) == 1
    first, second = receiver.came
    assert first.message_id == second.message_id
    assert first.body == second.body


def test_an_answer_that_comes_after_the_lease_counts_only_when_it_is_a_yes(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    told(world, receiver.url)
    submitted(world)
    hear(sealing)
    (late,) = queue.take_due(sending=())
    make_due()
    (again,) = queue.take_due(sending=())
    yes = send(late)
    no = type(yes)(outcome="refused", status_code=500)
    assert not queue.note_refused(late, no, is_last=True)
    assert queue.note_accepted(late, yes)
    assert not queue.note_refused(again, no, is_last=False)
    assert WebhookDelivery.objects.get().state == "accepted"


def test_while_a_secret_is_replaced_old_and_new_receivers_verify_and_a_day_later_only_the_new(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    first = told(world, receiver.url)
    second = rotate_endpoint_secret(first.endpoint, actor=acting(world.alice, "webhooks"))
    assert first.secret != second.secret
    send_test_event(first.endpoint, actor=acting(world.alice))
    assert deliver_due(actor=JOB) == 1
    (came,) = receiver.came
    for fresh in (first, second):
        assert Webhook(fresh.secret.reveal()).verify(came.body, came.headers)["type"] == "webhook.tested"
    row = WebhookEndpoint.objects.get()
    later = row.previous_until + timedelta(seconds=1)
    assert len(queue.open_secrets(row, at=later)) == 1


def test_an_event_is_sent_again_when_somebody_asks_and_a_test_when_they_try(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    endpoint = told(world, receiver.url).endpoint
    submitted(world)
    assert deliver(sealing) == 1
    row = redeliver(WebhookDelivery.objects.get(), actor=acting(world.alice))
    assert (row.state, row.attempts) == ("waiting", 0)
    send_test_event(endpoint, actor=acting(world.alice))
    assert deliver(sealing) == 2
    assert len({came.message_id for came in receiver.came}) == 2
    event = AuditEvent.objects.get(action="webhook.redelivered")
    assert UUID(event.envelope()["details"]["event"]) == row.event_uid


def test_what_is_disabled_or_removed_is_sent_nothing(sealing: SealingThread, world: World, receiver: Receiver) -> None:
    stopped, removed = told(world, receiver.url).endpoint, told(world, receiver.url).endpoint
    submitted(world)
    hear(sealing)
    disable_endpoint(stopped, actor=acting(world.alice))
    remove_endpoint(removed, actor=acting(world.alice, "webhooks"))
    assert deliver_due(actor=JOB) == 0
    enable_endpoint(stopped, actor=acting(world.alice, "webhooks"))
    assert deliver_due(actor=JOB) == 1


def test_the_job_reads_the_log_and_sends(sealing: SealingThread, world: World, receiver: Receiver) -> None:
    told(world, receiver.url)
    submitted(world)
    sealing.settle()
    assert send_webhooks() == 1
    assert send_webhooks() == 0


def test_old_deliveries_are_forgotten_and_spent_secrets_too(
    sealing: SealingThread, world: World, receiver: Receiver
) -> None:
    fresh = told(world, receiver.url)
    rotate_endpoint_secret(fresh.endpoint, actor=acting(world.alice, "webhooks"))
    submitted(world)
    deliver(sealing)
    assert forget_deliveries() == 0
    WebhookDelivery.objects.update(created_at=clock.now() - timedelta(days=31))
    assert forget_deliveries() == 1
