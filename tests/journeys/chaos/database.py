"""Stop PostgreSQL as a power cut does, and start it again."""

from __future__ import annotations

import signal

from django.db import connections

from portal.embedded import Engines
from portal.engines import postgres_programs, start_postgres


class Database:
    """The PostgreSQL of this run."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.durable = True

    def stop(self, sign: signal.Signals) -> None:
        server = self.engines.running["postgres"]
        server.send_signal(sign)
        server.wait(60)

    def stop_immediately(self) -> None:
        """`pg_ctl stop -m immediate`: every server process quits where it stands; the next start recovers from the log."""
        self.stop(signal.SIGQUIT)
        connections.close_all()  # those of the test itself

    def start(self) -> None:
        layout = self.engines.layout
        self.engines.running["postgres"] = start_postgres(layout, postgres_programs(layout), durable=self.durable)

    def restart(self, *, durable: bool) -> None:
        """Stop it in good order, and start it with other promises about the disk."""
        connections.close_all()
        self.stop(signal.SIGINT)
        self.durable = durable
        self.start()
