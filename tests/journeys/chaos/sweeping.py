"""Run the tasks of rotations over and over in a child that is started anew when it dies: `python -m …sweeping`."""

from __future__ import annotations

import os
import signal
import sys
import time

import django

PAUSE = 0.05


def sweep() -> None:
    """Do what is due until somebody kills this process."""
    from keys.tasks import end_what_is_over, rotate

    while True:
        rotate()
        end_what_is_over()
        time.sleep(PAUSE)


def main() -> None:
    django.setup()
    from keys import tasks  # before the first fork, so that each child begins at once

    assert tasks
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            sweep()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
