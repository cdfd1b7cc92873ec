"""The one-command start as a person uses it: real processes, real signals."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from portal.layout import layout_at
from portal.supervisor import FEED_PORT_APART, VERIFY_PORT_APART
from tests.engines import new_folder
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
OURS = ("DATABASE_", "KEYSTEAD_", "REDIS_URL", "EMAIL_URL", "PORT", "DEMO", "DJANGO_", "PYTEST_")
OTHERS = (VERIFY_PORT_APART, FEED_PORT_APART)
GREETED = "voids this one"  # the last words of the greeting
pytestmark = pytest.mark.timeout(240)


class Running:
    """A supervisor in a process of its own, with what it has said so far."""

    def __init__(self, folder: Path, port: int | str | None = None, **more: str) -> None:
        self.folder, self.port = folder, port or free_port(apart=OTHERS)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        environment |= {"KEYSTEAD_DATA": str(folder), "PORT": str(self.port), **more}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portal.supervisor"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def said(self) -> str:
        return "".join(self.lines)

    def wait_for(self, words: str, seconds: float = 120) -> "Running":
        deadline = time.monotonic() + seconds
        while words not in self.said():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said()}"
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.said()}"
            time.sleep(0.1)
        return self

    def get(self, path: str) -> dict:
        request = urllib.request.Request(f"http://localhost:{self.port}{path}", headers={"Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def end(self, sign: int) -> int:
        self.process.send_signal(sign)
        code = self.process.wait(60)
        self.reader.join(10)
        return code


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found |= {child} | descendants(child)
    return found


def living(pids: set[int]) -> set[int]:
    def lives(pid: int) -> bool:
        try:
            return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False

    return {pid for pid in pids if lives(pid)}


def wait_until_gone(pids: set[int], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while living(pids):
        assert time.monotonic() < deadline, f"still running: {living(pids)}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def folder():
    path = new_folder("keystead-supervised-")
    yield path
    home = layout_at(path).home
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def start(folder):
    started: list[Running] = []

    def begin(port: int | str | None = None, *, data: Path = folder, **environment: str) -> Running:
        started.append(Running(data, port, **environment))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.end(signal.SIGTERM)
        running.reader.join(20)
        running.process.stdout.close()


# Each start costs a dozen processes: one is killed, and the next shows what a start is and ends as it is told to.
@pytest.mark.parametrize("sign", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_killed_supervisor_leaves_no_orphan_and_the_next_runs_everything_once_until_it_is_told_to_stop(start, sign):
    killed = start().wait_for(GREETED)
    orphans = descendants(killed.process.pid)
    killed.process.kill()
    killed.process.wait()
    wait_until_gone(orphans, 40)
    running = start().wait_for(GREETED)
    assert running.get("/healthz") == {"status": "alive"}
    assert running.get("/readyz")["status"] == "ok"
    second = start()
    assert second.process.wait(30) == 1
    second.reader.join(10)
    assert "already runs" in second.said()
    deadline = time.monotonic() + 60
    while (status := running.get("/status"))["status"] != "ok":
        assert time.monotonic() < deadline, status
        time.sleep(0.5)
    assert {"database", "migrations", "valkey", "worker", "beat", "mail", "log"} <= set(status["parts"])
    family = descendants(running.process.pid)
    assert len(family) >= 7
    assert (running.folder / "sealer" / "signing.key").stat().st_mode & 0o777 == 0o400
    assert {name: (running.folder / name).stat().st_mode & 0o777 for name in ("mail", "logs")} == {
        "mail": 0o700,
        "logs": 0o700,
    }
    assert (running.folder / "sealer" / "tiles" / "checkpoint").read_text().startswith("keystead/audit-log/")
    assert running.end(sign) == 0
    assert living(family) == set()


@pytest.mark.parametrize(
    "part", ["worker", *(pytest.param(part, marks=pytest.mark.long) for part in ("web", "postgres"))]
)
def test_a_part_that_dies_stops_the_rest_and_the_exit_is_not_zero(start, part):
    running = start().wait_for(GREETED)
    family = descendants(running.process.pid)
    words = {"worker": "worker", "web": "gunicorn", "postgres": "bin/postgres"}[part]
    victim = min(
        pid
        for pid in map(
            int, Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        )
        if words in Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    )
    os.kill(victim, signal.SIGKILL)
    assert running.process.wait(60) == 1
    running.reader.join(10)
    assert f"{part} ended by itself" in running.said()
    wait_until_gone(family)


@pytest.mark.parametrize("port", ["eight thousand", "65400"])
def test_a_port_that_is_none_is_said_before_anything_is_started(start, port):
    refused = start(port)
    assert refused.process.wait(60) == 1
    refused.reader.join(10)
    assert refused.said().startswith("Keystead cannot start: PORT is a number from 1 to 65335")
    assert refused.said().count("\n") == 1


def test_a_taken_port_is_said_before_anything_is_started(start, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for apart in (0, *OTHERS):
            refused = start(taken - apart, data=tmp_path)
            assert refused.process.wait(60) == 2
            refused.reader.join(10)
            assert refused.said().startswith(f"Keystead cannot start: Port {taken} is taken")
            assert f"make run PORT={taken - apart + 1}\n" in refused.said()
        environment = {"KEYSTEAD_FEED_BIND": f"127.0.0.1:{taken}"}
        refused = start(free_port(apart=OTHERS), data=tmp_path, **environment)
        assert refused.process.wait(60) == 2
        refused.reader.join(10)
        assert "KEYSTEAD_FEED_BIND" in refused.said()
    assert not layout_at(tmp_path).home.exists()


def test_a_second_start_finds_the_ports_taken_of_one_that_has_only_begun(start, tmp_path):
    first = start(free_port(apart=(-200, -100, 100, 200, 300, 400)))
    deadline = time.monotonic() + 60
    while not living(descendants(first.process.pid)):  # an engine, or whatever is started before it
        assert first.process.poll() is None, first.said()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    seconds = [start(first.port + apart, data=tmp_path / str(apart)) for apart in (-200, -100, 100, 200)]
    assert [second.process.wait(60) for second in seconds] == [2] * 4
    assert not [second for second in seconds if layout_at(second.folder).home.exists()]
    first.wait_for(GREETED)
