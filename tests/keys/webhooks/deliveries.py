"""Add endpoints, let them hear of the log, and send to them, as the job does."""

from datetime import timedelta

from audit import clock
from audit.actor import Actor
from keys.dispatch.cursor import read_all
from keys.models import WebhookDelivery
from keys.webhooks import queue
from keys.webhooks.delivering import deliver_due
from keys.webhooks.endpoints import Fresh, add_endpoint
from keys.webhooks.queue import queue_deliveries
from tests.people import World, acting
from tests.sealers import SealingThread

JOB = Actor.job("send_webhooks")


def told(world: World, url: str, *, kinds: tuple[str, ...] = ("request.submitted",), team: bool = True) -> Fresh:
    """An endpoint of reporting's, or of the whole organisation's."""
    owner = (world.reporting, world.alice) if team else (None, world.admin)
    return add_endpoint(owner[0], url=url, kinds=kinds, description="Chat", actor=acting(owner[1], "webhooks"))


def hear(sealing: SealingThread) -> int:
    sealing.settle()
    return read_all(queue.READER, (queue_deliveries,))


def deliver(sealing: SealingThread) -> int:
    hear(sealing)
    return deliver_due(actor=JOB)


def make_due() -> None:
    """Let the time of the next attempt come, and leases end."""
    past = clock.now() - timedelta(seconds=1)
    WebhookDelivery.objects.filter(state="waiting").update(next_attempt_at=past)
    WebhookDelivery.objects.exclude(lease_until=None).update(lease_until=past)
