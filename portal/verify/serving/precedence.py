"""Let the thread that answers go on with what waits, instead of being interrupted for each answer that is to be sent.

Linux gives the processor at once to a thread that wakes. Granian's carriers of bytes wake at every answer, so where they share a
processor with the thread that answers, each answer costs two switches and cold caches. A batch thread waits for its turn instead.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

CARRIER: Final = "tokio-rt-worker"
_TASKS: Final = Path("/proc/self/task")


def answers_before_bytes() -> bool:
    """Ask the kernel for it, for the carriers of this process; False while there are none. Elsewhere nothing is lost but speed."""
    found = False
    with contextlib.suppress(OSError):  # another system than Linux, or one that forbids it
        for task in _TASKS.iterdir():
            if (task / "comm").read_text().rstrip("\n") == CARRIER:
                os.sched_setscheduler(int(task.name), os.SCHED_BATCH, os.sched_param(0))
                found = True
    return found
