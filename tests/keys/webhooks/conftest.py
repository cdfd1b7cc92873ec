"""A receiver on this machine, and the leave to send to it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.keys.webhooks.receivers import Receiver, receiving


@pytest.fixture
def loopback(settings: Any) -> None:
    settings.KEYSTEAD_WEBHOOK_LOOPBACK = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found
