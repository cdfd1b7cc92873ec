"""Serve the data plane: `python -m portal.verify`."""

from __future__ import annotations

import os
from typing import Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from portal.logs import configuration
from portal.verify.serving.workers import Server

# Milliseconds. Proxies and balancers keep connections for a minute: who is first to close one loses no question on its way.
IDLE: Final = 75_000


def main() -> None:
    """Run the workers; each holds all keys and answers in one thread, so one for each core that is to be used."""
    host, _, port = (os.environ.get("KEYSTEAD_VERIFY_BIND") or "127.0.0.1:8100").rpartition(":")
    Server(
        "portal.verify.wsgi:application",
        address=host.strip("[]"),
        port=int(port),
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=IDLE),
        workers=int(os.environ.get("KEYSTEAD_VERIFY_WORKERS") or 1),
        blocking_threads=1,
        backlog=2048,
        workers_kill_timeout=5,
        log_dictconfig=dict(configuration(production=os.environ.get("KEYSTEAD_ENV") != "development", level="INFO")),
        log_access=False,
    ).serve()


if __name__ == "__main__":
    main()
