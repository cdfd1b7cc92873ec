"""Serve by granian, whose workers come back here however often they are killed.

Granian's own loop takes a worker that dies twice within 5.5 seconds for one that cannot start, and ends the server with all
the others. Under memory that runs out, that is how a door would be lost whose workers can start well.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from granian.server import MPServer

SOON: Final = 5.5  # seconds in which a worker dies at once: granian's own measure
LONGEST: Final = 10.0  # seconds until another try: services wait for the door
CANNOT_START: Final = 78  # EX_CONFIG of sysexits.h: the settings are wrong, and another try changes nothing


class Server(MPServer):
    """As granian, but only a worker that cannot start ends it: whoever manages services shall hear of wrong settings."""

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:  # Any: as granian has them
        died_soon: Counter[int] = Counter()
        while True:
            self.main_loop_interrupt.wait()
            self.main_loop_interrupt.clear()  # first, so that nobody who dies from here on is overlooked
            if self.interrupt_signal:
                return
            if self.reload_signal:
                self._reload(spawn_target, target_loader)  # type: ignore[no-untyped-call]  # granian's own
            while self.interrupt_children:
                index = self.interrupt_children[0]
                worker = self.wrks[index]
                died_soon[index] = died_soon[index] + 1 if time.monotonic() - worker.birth < SOON else 0
                ended_itself = worker.inner.exitcode >= 0  # below: the signal that killed it
                # Of wrong settings it says so, however long that took; of what else keeps it from starting, time tells.
                if worker.inner.exitcode == CANNOT_START or (ended_itself and died_soon[index] > 1):
                    return  # granian exits with 1 while a child waits for another
                if died_soon[index] > 1:
                    self.main_loop_interrupt.wait(min(2.0 ** (died_soon[index] - 2), LONGEST))  # or until a signal
                del self.interrupt_children[0]
                self._respawn_workers([index], spawn_target, target_loader)
