"""Serve the doorbell of programs that verify in their own process: `python -m portal.verify.feed`."""

from __future__ import annotations

import os
import resource

from granian.constants import HTTPModes, Interfaces

from portal.logs import configuration
from portal.verify.serving.workers import Server

SOCKETS = 8192


def main() -> None:
    """Run one worker: lines cost little, and each more would only look at the database too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(SOCKETS, hard) if hard > 0 else SOCKETS, hard))
    host, _, port = (os.environ.get("KEYSTEAD_FEED_BIND") or "127.0.0.1:8200").rpartition(":")
    Server(
        "portal.verify.feed.asgi:application",
        address=host.strip("[]"),
        port=int(port),
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        backlog=2048,
        workers_kill_timeout=5,
        log_dictconfig=dict(configuration(production=os.environ.get("KEYSTEAD_ENV") != "development", level="INFO")),
        log_access=False,
    ).serve()


if __name__ == "__main__":
    main()
