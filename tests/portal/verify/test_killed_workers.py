"""A worker that is killed comes back, however soon it is killed again, and takes nobody with it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from keys.models import Verifier
from tests.portal.verify.storms import VerifyServer

pytestmark = pytest.mark.timeout(120)


def workers_of(server: VerifyServer) -> set[int]:
    """Its processes that answer; Python's own helper is a child as well."""
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return {int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()}


def killed_and_replaced(server: VerifyServer, worker: int) -> int:
    """Kill a worker; who came in its place."""
    before = workers_of(server)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 90
    while not (came := workers_of(server) - before):
        assert server.process is not None
        assert server.process.poll() is None, "the server ended with one of its workers"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return came.pop()


@pytest.mark.parametrize("module", ["portal.verify", "portal.verify.feed"])
def test_a_worker_that_is_killed_again_at_once_comes_back_and_the_others_stay(world, tmp_path, module):
    count = 2 if module == "portal.verify" else 1
    with VerifyServer(tmp_path, module=module, workers=count) as server:
        worker, *others = sorted(workers_of(server))
        for _ in range(3):  # within 5.5 seconds the second already ended granian
            worker = killed_and_replaced(server, worker)
            others = [each for each in others if each in workers_of(server)]
        assert len(others) == count - 1
        server.wait_until_fresh()
        assert server.process is not None
        server.process.terminate()
        assert server.process.wait(60) == 0
        assert not server.is_fresh()


@pytest.mark.parametrize("module", ["portal.verify", "portal.verify.feed"])
@pytest.mark.parametrize("wrong", [{"KEYSTEAD_ENV": "nowhere"}, {"KEYSTEAD_EXPORT_DAYS": "seven"}], ids="-".join)
def test_wrong_settings_end_the_server_at_once_and_in_words(tmp_path, module, wrong):
    """Also where starting takes longer than a worker that dies soon lives: a busy host, a database behind a dead wire."""
    server = VerifyServer(tmp_path, module=module, **wrong)
    server.start()
    try:
        assert server.process is not None
        assert server.process.wait(90) == 1
    finally:
        server.stop()
    said = server.log_file.read_text()
    assert said.count("".join(wrong)) == 1
    assert "Traceback" not in said
    assert "Respawning" not in said


def test_a_door_that_is_stopped_gives_its_lease_back(world, tmp_path):
    """Otherwise each revocation waits until the lease has ended by itself."""
    with VerifyServer(tmp_path) as server:
        lease = Verifier.objects.latest("started_at")
        assert server.process is not None
        server.process.terminate()
        assert server.process.wait(60) == 0
    lease.refresh_from_db()
    assert lease.stopped_at is not None
    assert lease.valid_until <= lease.stopped_at
