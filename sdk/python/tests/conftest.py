"""Give tests a Keystead that answers what they say; these tests need neither the portal nor a database."""

from collections.abc import Iterator

import pytest
from fake_keystead import FakeKeystead
from keystead_client import local, signature_judging


@pytest.fixture
def keystead() -> Iterator[FakeKeystead]:
    """Start an HTTP server on a loopback port."""
    with FakeKeystead() as server:
        yield server


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> float:
    """Have the clock of clients stand still, and say where: vectors ask in the last millisecond before something ends."""
    for module in (local, signature_judging):
        monkeypatch.setattr(module, "clock", lambda _: 1000.0)
    return 1000.0
