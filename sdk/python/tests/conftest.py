"""Give tests a Keystead that answers what they say; these tests need neither the portal nor a database."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fake_keystead import FakeKeystead
from hypothesis import HealthCheck, settings
from keystead_client import AsyncVerifier, LocalVerifier, RotatingCredential, Verifier, feed, local, signature_judging

# An example that took long says that the machine was busy.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


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


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for answers as long as it takes: the seconds that a service may wait pass on a crowded machine before anybody is at work."""
    for client in (AsyncVerifier, LocalVerifier, RotatingCredential, Verifier):
        monkeypatch.setitem(client.__init__.__kwdefaults__, "timeout", 60.0)


class Clock:
    """One clock for clients and the fake Keystead, which goes on when a test says so: a lease lasts as long as the test needs it."""

    def __init__(self) -> None:
        self.seconds, self._began = 1000.0, time.time_ns() // 1_000_000

    def now_ms(self) -> int:
        """Say what Keystead's clock shows."""
        return self._began + round((self.seconds - 1000.0) * 1000)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have time pass only where a test moves `seconds`."""
    clock = Clock()
    for module in (feed, local, signature_judging):
        monkeypatch.setattr(module, "clock", lambda _: clock.seconds)
    monkeypatch.setattr("fake_feed.now_ms", clock.now_ms)
    return clock
