"""Two processes of the door are one for whoever asks: a captured request is spent on both, and a limit is one limit."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keys.verification.counting.shared_limits import DOUBT
from portal.verify.serving.precedence import CARRIER
from tests.people import issued, verifying_credential
from tests.portal.verify.signed_questions import received
from tests.portal.verify.storms import VerifyServer, servers_of
from tests.portal.verify.wires import Wire
from tests.signing_keys import allow_signing, signer_of

pytestmark = pytest.mark.timeout(120)
DAILY = 40


@contextmanager
def a_wire_to_the_database() -> Iterator[tuple[Wire, dict[str, str]]]:
    """What a verifier reads over it, and the setting that makes it."""
    folder, name = os.environ["DATABASE_VERIFIER_URL"].split("@/")[1].rsplit("/", 1)
    with Wire(Path("/") / folder.lstrip("/") / ".s.PGSQL.5432") as wire:
        yield wire, {"DATABASE_VERIFIER_URL": f"postgres://keystead_verifier@127.0.0.1:{wire.port}/{name}"}


class Service:
    """A service that asks, by its credential."""

    def __init__(self, credential: str) -> None:
        self.headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}

    def asks(self, door: VerifyServer, path: str, question: object) -> Any:
        """The verdict, or the problem."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{door.port}{path}", data=json.dumps(question).encode(), headers=self.headers
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as problem:
            return json.load(problem)

    def is_told(self, door: VerifyServer, question: object) -> str:
        """What becomes of a signed request."""
        said = self.asks(door, "/v1/verify-signature", question)
        return str(said.get("code") or said.get("reason") or "valid")

    def accepted_until_refused(self, door: VerifyServer, key: str) -> int:
        """How often a key is accepted before the door has heard that it had enough."""
        accepted, deadline = 0, time.monotonic() + 60
        while (said := self.asks(door, "/v1/verify", {"key": key}))["valid"]:
            accepted += 1
            assert time.monotonic() < deadline
            time.sleep(0.5)  # what comes in between is what a limit may be passed by
        assert said["reason"] == "quota"
        return accepted


def carriers_of(door: VerifyServer) -> list[int]:
    """The threads of its workers that carry bytes."""
    assert door.process is not None
    workers = Path(f"/proc/{door.process.pid}/task/{door.process.pid}/children").read_text().split()
    tasks = [task for worker in workers for task in Path(f"/proc/{worker}/task").iterdir()]
    return [int(task.name) for task in tasks if (task / "comm").read_text() == f"{CARRIER}\n"]


@pytest.mark.usefixtures("one_day")
@pytest.mark.parametrize("restarts", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_captured_request_and_a_spent_limit_are_known_to_both(sealing, world, settled_nonces, tmp_path, restarts):
    allow_signing(world)
    signer = signer_of(world, "hmac-sha256")
    limited = issued(world, name="Limited", limits={"requests_per_day": DAILY})[2].reveal()
    service = Service(verifying_credential(world).reveal())
    with servers_of(tmp_path, 2) as (here, there):
        captured = received(signer)
        assert service.is_told(here, captured) == "valid"
        assert [service.is_told(door, captured) for door in (here, there)] == ["replay", "replay"]
        with urllib.request.urlopen(f"http://127.0.0.1:{here.port}/metrics", timeout=30) as metrics:
            assert b'status="200 gathered"' in metrics.read(), "a nonce was spent by the thread that answers"
        assert set(map(os.sched_getscheduler, carriers_of(here))) == {os.SCHED_BATCH}, "each answer is interrupted"
        assert all(service.asks(here, "/v1/verify", {"key": limited})["valid"] for _ in range(DAILY))
        assert service.accepted_until_refused(here, limited) == 0
        assert service.accepted_until_refused(there, limited) < DAILY / 2, "alone it would have been all of them"
        if restarts:
            there.stop()
            there.start()
            there.wait_until_fresh()
            assert service.is_told(there, captured) == "replay"
            assert service.accepted_until_refused(there, limited) < DAILY / 2, "a restart forgets nothing"
        settled_nonces.flushdb()
        assert [service.is_told(door, captured) for door in (here, there)] == ["nonce_store_young"] * 2
        assert [service.accepted_until_refused(door, limited) for door in (here, there)] == [0, 0]


@pytest.mark.long
def test_nobody_who_presents_a_key_waits_for_a_valkey_that_does_not_answer_about_a_signature(
    sealing, world, settled_nonces, tmp_path
):
    """Nonces are spent beside the thread that answers, of many requests at once."""
    allow_signing(world)
    signer = signer_of(world, "hmac-sha256")
    key = issued(world)[2].reveal()
    service = Service(verifying_credential(world).reveal())
    path = os.environ["REDIS_URL"].removeprefix("unix://").split("?")[0]
    with (
        Wire(Path(path)) as wire,
        servers_of(tmp_path, 1, REDIS_URL=f"redis://127.0.0.1:{wire.port}/0") as (door,),
        ThreadPoolExecutor(8) as clients,
    ):
        at_once = [received(signer) for _ in range(8)]
        assert list(clients.map(partial(service.is_told, door), at_once)) == ["valid"] * 8
        wire.silence()
        began = time.monotonic()
        signed = [
            clients.submit(service.is_told, door, each) for each in (*at_once[:4], *(received(signer) for _ in "1234"))
        ]
        time.sleep(0.2)
        assert service.asks(door, "/v1/verify", {"key": key})["valid"]
        assert not any(each.done() for each in signed)
        assert time.monotonic() < began + 0.5, "a key had to wait"
        assert [each.result() for each in signed] == ["nonce_store_unavailable"] * 8
        assert time.monotonic() < began + 4, "one after the other waited for Valkey"
        wire.mend()
        assert list(clients.map(partial(service.is_told, door), at_once[:2])) == ["replay"] * 2


@pytest.mark.long
def test_nobody_who_signs_waits_for_a_database_that_does_not_answer(sealing, world, settled_nonces, tmp_path):
    """Where nonces are remembered is read by the thread that may wait for it."""
    allow_signing(world)
    signer = signer_of(world, "hmac-sha256")
    service = Service(verifying_credential(world).reveal())
    with a_wire_to_the_database() as (wire, away), servers_of(tmp_path, 1, **away) as (door,):
        assert service.is_told(door, received(signer)) == "valid"
        wire.silence()
        told, slowest, since = [], 0.0, time.monotonic()
        while time.monotonic() < since + 8:
            began = time.monotonic()
            told.append(service.is_told(door, received(signer)))
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)
        assert slowest < 1, "somebody waited for the database"
        assert told.count("valid") > 10, "within the lease they go on"
        assert told[-1] == "verifier_stale"
        wire.mend()
        while service.is_told(door, received(signer)) != "valid":
            assert time.monotonic() < since + 40
            time.sleep(0.1)


@pytest.mark.long
@pytest.mark.usefixtures("one_day")
def test_while_valkey_is_away_two_processes_accept_no_more_than_a_limit_and_what_was_not_noticed(
    sealing, world, valkey, tmp_path
):
    limited = issued(world, name="Limited", limits={"requests_per_day": 400})[2].reveal()
    service = Service(verifying_credential(world).reveal())
    path = os.environ["REDIS_URL"].removeprefix("unix://").split("?")[0]
    with Wire(Path(path)) as wire, servers_of(tmp_path, 2, REDIS_URL=f"redis://127.0.0.1:{wire.port}/0") as both:
        accepted = sum(service.asks(both[0], "/v1/verify", {"key": limited})["valid"] for _ in range(100))
        time.sleep(1)  # until the other has heard of it
        unnoticed = 0
        for end in (wire.cut, wire.mend, wire.silence):
            end()
            since = time.monotonic()
            while time.monotonic() < since + 4:
                for door in both:
                    valid = service.asks(door, "/v1/verify", {"key": limited})["valid"]
                    accepted += valid
                    unnoticed += valid and time.monotonic() < since + DOUBT + 1
                time.sleep(0.05)
        wire.mend()
        accepted += sum(service.accepted_until_refused(door, limited) for door in both)
    assert 400 <= accepted <= 400 + unnoticed + 2
    assert accepted < 600, "each for itself it would have been 800"
