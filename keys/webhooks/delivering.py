"""Send what is due: one delivery of each endpoint at a time, so that a slow receiver delays only itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

import structlog

from audit import clock
from audit.actor import Actor
from keys.events import WebhookDisabled
from keys.models import WebhookEndpoint
from keys.operations import locked, operation, update
from keys.webhooks import queue
from keys.webhooks.sending import ACCEPTED, GONE, Answer, Parcel, send
from keys.webhooks.turns import AT_ONCE

LONGEST_SECONDS: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 0.2
FAILING: Final = "failing"

log = structlog.get_logger(__name__)


def deliver_due(*, actor: Actor, listen: Callable[[], object] | None = None) -> int:
    """Send until nothing is due, for some seconds at most; returns how many were accepted.

    While something is on its way, `listen` reads the log on and what becomes due is sent too: whoever waits for a slow
    receiver holds nobody else up. Threads only send; every row is read and written here.
    """
    began, accepted = time.monotonic(), 0
    on_the_way: dict[Future[Answer], Parcel] = {}
    failure: Exception | None = None
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="webhook") as threads:
        while True:
            if listen is not None and failure is None:
                try:
                    listen()
                except Exception as error:  # noqa: BLE001 - raised again below: what is on its way is noted first
                    failure = error
            if time.monotonic() - began < LONGEST_SECONDS:
                for parcel in queue.take_due(sending=list(on_the_way.values())):
                    on_the_way[threads.submit(send, parcel)] = parcel
            if not on_the_way:
                break
            done, _ = wait(on_the_way, timeout=LOOK_AGAIN_SECONDS, return_when=FIRST_COMPLETED)
            for each in done:
                accepted += _note(on_the_way.pop(each), each.result(), actor=actor)
    if failure is not None:
        raise failure
    return accepted


def _note(parcel: Parcel, answer: Answer, *, actor: Actor) -> int:
    if answer.outcome == ACCEPTED:
        return int(queue.note_accepted(parcel, answer))
    log.info("webhook_not_accepted", endpoint=str(parcel.endpoint_id), code=answer.outcome, attempt=parcel.attempt)
    if answer.outcome == GONE or queue.is_last(parcel):
        _give_up(parcel, answer, actor=actor)
    else:
        queue.note_refused(parcel, answer, is_last=False)
    return 0


@operation
def _give_up(parcel: Parcel, answer: Answer, *, actor: Actor) -> None:
    """Give a delivery up and disable its endpoint, so that its owners are told, or neither."""
    endpoint = locked(WebhookEndpoint(pk=parcel.endpoint_id))
    if not queue.note_refused(parcel, answer, is_last=True):
        return  # somebody else was faster, or asked for it again
    if endpoint.disabled_at is not None or endpoint.removed_at is not None:
        return
    reason = GONE if answer.outcome == GONE else FAILING
    at = clock.now()
    update(
        endpoint,
        WebhookDisabled,
        actor=actor,
        at=at,
        reason=reason,
        expected={"disabled_at": None},
        columns={"disabled_at": at, "disabled_reason": reason},
    )
