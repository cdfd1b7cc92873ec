"""The worker, the sealer and the verification door in processes of their own, to be killed; and a bell that wakes the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Self

from audit.sealer_folder import SealerFolder, create_key
from portal import pulses
from portal.celery import app
from portal.engines import die_with_parent
from portal.layout import Layout
from tests.audit.processes import wait_until
from tests.servers import ROOT, free_port, kill_children


class Process:
    """One of our programs as the one-command start runs it, in a process group of its own."""

    def __init__(self, name: str, *command: str, layout: Layout, **environment: str) -> None:
        self.command, self.environment = command, environment
        self.log_file = layout.data / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> Self:
        """Start without waiting."""
        ours = {"DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONWARNINGS": "ignore"}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=ROOT,
                env=os.environ | ours | self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        return self

    def log(self) -> str:
        """Return what it has written."""
        return self.log_file.read_text(errors="replace")

    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kill all of it."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class VerifyDoor(Process):
    """The data plane by itself, so that nothing that happens to the site can stop it."""

    def __init__(self, layout: Layout) -> None:
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        super().__init__(
            "verify", "-m", "portal.verify", layout=layout, KEYSTEAD_VERIFY_BIND=address, KEYSTEAD_VERIFY_WORKERS="2"
        )

    def wait(self) -> Self:
        """Wait until it knows every key."""

        def is_fresh() -> bool:
            assert self.lives(), self.log()[-4000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_until(is_fresh)
        return self

    def kill_workers(self) -> None:
        """Kill whoever answers; others start in their place."""
        assert self.process is not None
        kill_children(self.process.pid)


class Worker(Process):
    """A Celery worker with a pool of processes."""

    def __init__(self, layout: Layout) -> None:
        quietly = ("--loglevel=info", "--without-gossip", "--without-mingle")
        super().__init__(
            "worker", "-m", "celery", "--app=portal.celery", "worker", "--concurrency=2", *quietly, layout=layout
        )
        self.began = time.time()

    def launch(self) -> Self:
        self.began = time.time()
        return super().launch()

    def wait(self) -> Self:
        """Wait for the first pulse: it takes tasks."""

        def is_ready() -> bool:
            assert self.lives(), self.log()[-4000:]
            age = pulses.age(pulses.WORKER)
            return age is not None and time.time() - age >= self.began

        wait_until(is_ready)
        return self

    def kill_pool(self) -> None:
        """Kill every process that runs tasks; the worker itself forks others."""
        assert self.process is not None
        kill_children(self.process.pid)


class Sweeper(Process):
    """A worker without Celery: the same tasks in a process that is forked again the moment it was killed."""

    def __init__(self, layout: Layout) -> None:
        super().__init__("sweeper", "-m", "tests.journeys.chaos.sweeping", layout=layout, PYTHONPATH=str(ROOT))

    def launch(self) -> Self:
        self.log_file.unlink(missing_ok=True)
        return super().launch()

    def wait(self) -> Self:
        """Wait until it forks."""
        wait_until(lambda: "ready" in self.log())
        return self

    def kill_pool(self) -> None:
        """Kill the process that runs tasks."""
        assert self.process is not None
        kill_children(self.process.pid)


class SealerProcess(Process):
    """A sealer with a folder and a key of its own."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        create_key(SealerFolder(folder), name="keystead/audit-log/test")
        super().__init__("sealer", "manage.py", "audit_sealer", layout=layout, KEYSTEAD_SEALER_FOLDER=str(folder))


class Doorbell:
    """Wake the worker for these tasks over and over, as beat does, only faster."""

    def __init__(self, *tasks: str) -> None:
        self.tasks = tasks
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ring, name="doorbell")

    def _ring(self) -> None:
        while not self._over.wait(0.25):
            for task in self.tasks:
                app.send_task(task, expires=1.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
