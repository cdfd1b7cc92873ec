"""What a worker holds when Valkey goes: no place of a lost message is kept, or it never asks for another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError

from portal.celery import app
from portal.embedded import Engines
from tests.keys.jobs.processes import silenced

QUEUE = "held"


@pytest.mark.parametrize("settle", ["ack", "reject", "requeue"])
def test_a_message_that_cannot_be_settled_is_not_held(valkey: redis.Redis, engines: Engines, settle: str) -> None:
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel  # Any: the stubs know only what is public
        channel.queue_declare(QUEUE)
        app.connection_for_write().SimpleQueue(QUEUE).put({"n": 1})
        channel.basic_qos(0, 1, False)
        message = channel.basic_get(QUEUE)
        assert not channel.qos.can_consume(), "its only place is taken"
        ways: dict[str, Callable[[], None]] = {
            "ack": message.ack,
            "reject": message.reject,
            "requeue": message.requeue,
        }
        with silenced(engines), pytest.raises((redis.ConnectionError, OperationalError)):
            ways[settle]()
        assert channel.qos.can_consume()
