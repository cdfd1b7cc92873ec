"""Verifiers in processes of their own, and services that ask them without a pause."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from portal.engines import die_with_parent
from tests.servers import ROOT, free_port


class VerifyServer:
    """`python -m portal.verify` as the one-command start runs it."""

    def __init__(self, folder: Path, *, workers: int = 1, **environment: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.log_file = folder / f"verify-{self.port}.log"
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "KEYSTEAD_VERIFY_BIND": f"127.0.0.1:{self.port}",
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
                [sys.executable, "-m", "portal.verify"],
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
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
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


@dataclass(frozen=True)
class Heard:
    """One question: when it began, and what was said (None: no verdict)."""

    began: float
    valid: bool | None
    port: int


class Storm:
    """Threads that ask about keys, each over a connection of its own, `pause` seconds apart."""

    def __init__(
        self, servers: Sequence[VerifyServer], credential: str, secret: str, *, width: int, pause: float = 0.004
    ) -> None:
        self.heard: list[Heard] = []
        self.failed: list[BaseException] = []
        self._secret = secret
        self._pause = pause
        self._over = threading.Event()
        self._headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
        ports = [servers[place % len(servers)].port for place in range(width)]
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for port in ports]

    def about(self, secret: str) -> None:
        """Ask about another key from now on, and begin a new list."""
        self._secret, self.heard = secret, []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self.failed, self.failed

    def accepted_after(self, instant: float) -> list[Heard]:
        return [each for each in self.heard if each.valid and each.began > instant]

    def wait_for(self, count: int, *, seconds: float = 30) -> None:
        """Until so many questions were accepted."""
        deadline = time.monotonic() + seconds
        while sum(each.valid is True for each in list(self.heard)) < count:
            assert time.monotonic() < deadline, f"{len(self.heard)} answers, {self.heard[-3:]}"
            time.sleep(0.01)

    def _ask(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            while not self._over.is_set():
                heard, body = self.heard, json.dumps({"key": self._secret})
                began = time.monotonic()
                try:
                    connection.request("POST", "/v1/verify", body, self._headers)
                    answer = connection.getresponse()
                    said = json.loads(answer.read())
                except (OSError, http.client.HTTPException):
                    connection.close()  # a server that was stopped, or did not answer: no verdict
                    said, answer = {}, None
                valid = said["valid"] if answer is not None and answer.status == 200 else None
                heard.append(Heard(began, valid, port))
                self._over.wait(self._pause)
        except BaseException as error:
            self.failed.append(error)
        finally:
            connection.close()
