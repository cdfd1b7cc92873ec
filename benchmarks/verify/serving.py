"""Run one server in a process of its own, the same for everybody: granian, one worker that answers in one thread."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import ROOT
from benchmarks.measuring import processor_seconds
from portal.engines import die_with_parent


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def worker(self) -> int:
        """The process that answers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        # granian's own helper of multiprocessing is a child as well: the worker is the one that works. OpenBao has no children.
        return max(map(int, children), key=processor_seconds, default=self.process.pid)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(target: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """Serve a WSGI application until the context ends."""
    port = free_port()
    if target == "portal.verify":
        command = [sys.executable, "-m", target]
        environment = {**environment, "KEYSTEAD_VERIFY_BIND": f"127.0.0.1:{port}", "KEYSTEAD_VERIFY_WORKERS": "1"}
    else:
        words = "--interface wsgi --http 1 --workers 1 --blocking-threads 1 --backlog 2048 --no-ws --log-level warning"
        command = [sys.executable, "-m", "granian", *words.split(), "--host", "127.0.0.1", "--port", str(port), target]
    with running(command, environment) as process:
        _wait(port, process)
        yield Server(port, process)


@contextmanager
def running(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, with all that it starts, until the context ends."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one thread
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        with socket.socket() as probe:
            probe.settimeout(2)
            try:
                probe.connect(("127.0.0.1", port))
                probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if probe.recv(200).startswith((b"HTTP/1.1 200", b"HTTP/1.1 4")):
                    return
            except OSError:
                pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not start; its words are above")
        time.sleep(0.05)
