"""Run the real site in a process of its own, for tests over HTTP and in a browser."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Self

from portal.engines import die_with_parent
from portal.layout import Layout

ROOT = Path(__file__).resolve().parent.parent


# Below those that Linux gives to connections and to whoever asks for any, and of one worker: nobody takes a port that was found.
FIRST_PORT, OF_ONE_WORKER, WORKERS = 20_000, 2_000, 6
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_places = itertools.count(os.getppid())  # so that two runs at once hardly meet


def free_port(*, apart: Collection[int] = ()) -> int:
    """Return a loopback port that nobody listens on, nor on those so far from it; another each time."""
    while True:
        port = FIRST_PORT + _worker % WORKERS * OF_ONE_WORKER + next(_places) % OF_ONE_WORKER
        if all(_is_free(port + each) for each in (0, *apart)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def kill_children(pid: int) -> None:
    """Kill the children of a process that starts others in their place (Linux only)."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


class PortalServer:
    """A gunicorn with the settings of the test's environment."""

    def __init__(self, layout: Layout, **environment: str) -> None:
        self.port, self.feed_port = free_port(), free_port()  # nobody listens at the second until a test starts a feed
        self.url = f"http://localhost:{self.port}"
        self.log_file = layout.data / f"portal-{self.port}.log"
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and wait until /healthz answers."""
        environment = (
            os.environ
            | {
                "PORT": str(self.port),
                "KEYSTEAD_PUBLIC_URL": self.url,
                "KEYSTEAD_FEED_URL": f"http://localhost:{self.feed_port}/v1/feed",
                "DJANGO_SETTINGS_MODULE": "portal.settings",
            }
            | self.environment
        )
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gunicorn",
                    "portal.wsgi:application",
                    "--worker-class=gthread",
                    "--workers=2",
                    "--threads=4",
                    f"--bind=127.0.0.1:{self.port}",
                    "--graceful-timeout=5",
                    "--keep-alive=120",  # a machine may hold a test up for seconds, and `requests` sends nothing again
                    "--no-control-socket",
                ],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the site did not start:\n{self.log()}")
            time.sleep(0.1)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def ensure_running(self) -> None:
        """Start again if an earlier test killed the server."""
        if self.process is None or self.process.poll() is not None:
            self.start()

    def log(self) -> str:
        """Return what the server has written."""
        return self.log_file.read_text(errors="replace")

    def kill_workers(self) -> None:
        """Kill whoever answers, as when memory runs out; gunicorn starts others."""
        assert self.process is not None
        kill_children(self.process.pid)

    def stop(self) -> None:
        """Stop the server and its workers."""
        if self.process is not None and self.process.poll() is None:
            _end(self.process, within=15)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_well(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def serving(module: str, binding: str, port: int, folder: Path) -> Iterator[str]:
    """Run a process of the data plane that listens at `port`, as `binding` tells it, and logs to `folder`; its address."""
    named = {binding: f"127.0.0.1:{port}", "DJANGO_SETTINGS_MODULE": "portal.settings"}
    command = [sys.executable, "-m", module]
    with running(command, port=port, log=folder / f"{module}.log", cwd=ROOT, is_there=_is_well, **named) as url:
        yield url


@contextlib.contextmanager
def running(
    command: list[str],
    *,
    port: int,
    log: Path,
    cwd: Path,
    is_there: Callable[[int], bool] = _listens,
    **environment: str,
) -> Iterator[str]:
    """Run a server until it listens, or `is_there`, and end it with its whole group; its address."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    try:
        deadline = time.monotonic() + 90
        while not is_there(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-4000:])
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process, within=10)


def _end(process: subprocess.Popen[bytes], *, within: float) -> None:
    """Stop a process that may have ended, and those it started, by force after so many seconds."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
