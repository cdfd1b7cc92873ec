"""The server of the door is told what a client behind a proxy needs of it."""

from __future__ import annotations

from typing import Any

import pytest

from portal.verify import __main__ as serving

KEPT_BY_PROXIES = 60_000  # milliseconds: nginx and the balancers of clouds, as they come


def test_idle_connections_are_closed_later_than_proxies_close_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    class Told:
        def __init__(self, _target: str, **settings: Any) -> None:
            told.update(settings)

        def serve(self) -> None:
            pass

    monkeypatch.setattr(serving, "Server", Told)
    serving.main()
    assert told["http1_settings"].header_read_timeout > KEPT_BY_PROXIES
    assert told["http1_settings"].keep_alive
