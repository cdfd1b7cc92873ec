"""A worker that was told to stop, and whose last task cannot end, ends all the same."""

import subprocess
import sys
import time

from tests.servers import ROOT

STUCK = """
import time
from celery.signals import worker_shutting_down
import portal.celery
portal.celery.LONGEST_END = 0.2
worker_shutting_down.send(sender=None, sig="SIGTERM", how="Warm", exitcode=0)
print("it hangs", flush=True)
time.sleep(60)  # as in waitpid, for a child that waits for us
"""


def test_a_worker_that_hangs_while_it_ends_is_ended():
    began = time.monotonic()
    stuck = subprocess.run(
        [sys.executable, "-c", STUCK], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert (stuck.returncode, stuck.stdout, stuck.stderr) == (1, "it hangs\n", "")
    assert time.monotonic() - began < 40
