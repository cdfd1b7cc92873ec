"""Give tests a Keystead that answers what they say; these tests need neither the portal nor a database."""

from collections.abc import Iterator

import pytest
from fake_keystead import FakeKeystead


@pytest.fixture
def keystead() -> Iterator[FakeKeystead]:
    """Start an HTTP server on a loopback port."""
    with FakeKeystead() as server:
        yield server
