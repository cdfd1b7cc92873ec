"""Workers and schedulers as processes of their own, as the one-command start runs them, on a clock that runs faster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg

from portal.embedded import Engines
from portal.engines import die_with_parent, start_valkey, valkey_program

ROOT = Path(__file__).resolve().parents[3]
Superuser = psycopg.Connection[tuple[Any, ...]]


def hurry(superuser: Superuser, *, period_seconds: int = 1) -> None:
    """Give every kind of job a slot a second, past the operation and its bounds."""
    superuser.execute("ALTER TABLE keys_jobschedule DISABLE TRIGGER USER")
    superuser.execute("UPDATE keys_jobschedule SET period_seconds = %s", [period_seconds])
    superuser.execute("ALTER TABLE keys_jobschedule ENABLE TRIGGER USER")


@contextmanager
def silenced(engines: Engines) -> Iterator[None]:
    """Kill Valkey, and start it again at the end, empty."""
    server = engines.running["valkey"]
    server.send_signal(signal.SIGKILL)
    server.wait()
    try:
        yield
    finally:
        engines.running["valkey"] = start_valkey(engines.layout, valkey_program(engines.layout), durable=False)


class CeleryProcess:
    """A worker or a scheduler; `faster`: how many of its seconds pass in one of ours, for a scheduler."""

    def __init__(self, role: str, log_file: Path, *, faster: float = 1.0) -> None:
        quiet = ["--without-gossip", "--without-mingle", "--concurrency=2", "-n", f"{log_file.stem}@%h"]
        options = quiet if role == "worker" else ["--pidfile="]
        self.command = [
            sys.executable,
            "-m",
            "celery",
            "--app=tests.keys.jobs.hurried",
            role,
            "--loglevel=info",
            *options,
        ]
        self.log_file, self.faster = log_file, faster
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PYTHONWARNINGS": "ignore",
            "KEYSTEAD_TEST_FASTER": str(self.faster),
        }
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        return self

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tell(self) -> None:
        """Have it write where each of its threads is, for the log that is shown when a test fails."""
        if self.lives():
            assert self.process is not None
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(0.1)  # there is nothing to wait for but the writing itself

    def kill(self) -> None:
        """Kill the whole group at once, as a machine that loses its power does."""
        if self.lives():
            assert self.process is not None
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        if self.lives():
            assert self.process is not None
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
