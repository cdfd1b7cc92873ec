"""Verifiers in processes of their own, and services that ask them without a pause."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

from psycopg import Connection

from portal.engines import die_with_parent
from tests.keys.verification.following import behind_the_back
from tests.portal.verify import asker
from tests.portal.verify.asker import RECORD
from tests.servers import ROOT, free_port

SCRIPT: Final = Path(asker.__file__)
_VERDICTS: Final = {asker.YES: True, asker.NO: False, asker.NOTHING: None}


def be_patient(superuser: Connection[Any]) -> None:
    """Let leases last a minute, before a verifier starts: a machine that holds it up for three seconds shall not be the matter."""
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 60000")


class VerifyServer:
    """`python -m portal.verify` as the one-command start runs it, or the feed."""

    def __init__(self, folder: Path, *, module: str = "portal.verify", workers: int = 1, **environment: str) -> None:
        self.module = module
        self.port = free_port()
        self.folder = folder
        self.log_file = folder / f"verify-{self.port}.log"
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "KEYSTEAD_VERIFY_BIND": f"127.0.0.1:{self.port}",
            "KEYSTEAD_FEED_BIND": f"127.0.0.1:{self.port}",
            "KEYSTEAD_VERIFY_WORKERS": str(workers),
            "KEYSTEAD_USAGE_FOLDER": str(folder / "usage"),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_fresh()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )

    def wait_until_fresh(self, *, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_fresh():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.log_file.read_text(errors="replace")[-4000:])
            time.sleep(0.05)

    def is_fresh(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.HTTPError, OSError):
            return False

    def send(self, sign: int) -> None:
        """Signal the server and its workers."""
        assert self.process is not None
        os.killpg(self.process.pid, sign)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
                self.process.wait()


@contextmanager
def servers_of(folder: Path, count: int, **environment: str) -> Iterator[list[VerifyServer]]:
    """So many, started at the same time."""
    servers = [VerifyServer(folder, **environment) for _ in range(count)]
    for server in servers:
        server.start()
    try:
        for server in servers:
            server.wait_until_fresh()
        yield servers
    finally:
        for server in servers:
            server.stop()


class Heard(NamedTuple):
    """One question: when it began, how long it took, and what was said (None: no verdict)."""

    began: float
    took: float
    valid: bool | None
    port: int


class Storm:
    """Processes that ask about a key, `rate` questions a second over `width` connections together."""

    def __init__(
        self,
        servers: Sequence[VerifyServer],
        credential: str,
        secret: str,
        *,
        width: int,
        rate: float = 150,
        processes: int = 1,
    ) -> None:
        self.all: list[list[Heard]] = []
        self.stops: dict[int, float] = {}
        self._credential, self._secret = credential, secret
        ports = [str(server.port) for server in servers]
        words = [str(rate / processes), str(width // processes)]
        self._commands = [[sys.executable, str(SCRIPT), *words, *ports] for _ in range(processes)]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    @property
    def heard(self) -> list[Heard]:
        """What was said of the key that is asked about now."""
        return self.all[-1]

    @property
    def attempts(self) -> int:
        return sum(map(len, self.all))

    def about(self, secret: str) -> None:
        """Ask about another key from now on."""
        self.all.append([])
        order = f"{len(self.all) - 1} {self._credential} {secret}\n".encode()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(order)
            process.stdin.flush()

    def stopped(self, answered: float) -> None:
        """Note when the stop of the present key was answered."""
        self.stops[len(self.all) - 1] = answered

    def late(self) -> dict[int, int]:
        """How often each stopped key was accepted though the question began after the answer, up to now."""
        counts = {number: self._accepted_after(number, answered) for number, answered in self.stops.items()}
        return {number: count for number, count in counts.items() if count}

    def _accepted_after(self, number: int, answered: float) -> int:
        return sum(each.valid is True and each.began > answered for each in list(self.all[number]))

    def wait_for(self, count: int, *, seconds: float = 30) -> None:
        """Until so many questions were accepted."""
        deadline = time.monotonic() + seconds
        while sum(each.valid is True for each in list(self.heard)) < count:
            assert time.monotonic() < deadline, f"{len(self.heard)} answers, {self.heard[-3:]}"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        for command in self._commands:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent(signal.SIGKILL)
            )
            self._processes.append(process)
            self._threads.append(threading.Thread(target=self._read, args=(process.stdout,)))
        self.about(self._secret)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        codes = []
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            codes.append(process.wait(60))
        for thread in self._threads:
            thread.join()
        assert not any(codes), codes

    def _read(self, records: IO[bytes]) -> None:
        with records:
            while record := records.read(RECORD.size):
                began, took, number, port, said = RECORD.unpack(record)
                self.all[number].append(Heard(began, took, _VERDICTS[said], port))
