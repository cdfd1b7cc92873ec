"""Give the clients a real portal, and a door of the data plane beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import free_port, serving


@pytest.fixture
def verify_door(portal_server, tmp_path) -> Iterator[str]:
    """Start the process that services ask, over the committed database; its address."""
    port = free_port()
    with serving("portal.verify", "KEYSTEAD_VERIFY_BIND", port, tmp_path) as url:
        yield url


@pytest.fixture
def feed(portal_server, tmp_path) -> Iterator[str]:
    """Start the process of the doorbell, where the site says that it is; its address."""
    with serving("portal.verify.feed", "KEYSTEAD_FEED_BIND", portal_server.feed_port, tmp_path) as url:
        yield url


@pytest.fixture
def hidden_feed(portal_server, tmp_path) -> Iterator[str]:
    """Start it elsewhere, for a gateway that listens where the site says that it is; its address."""
    with serving("portal.verify.feed", "KEYSTEAD_FEED_BIND", free_port(), tmp_path) as url:
        yield url
