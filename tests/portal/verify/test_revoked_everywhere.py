"""Once a stop was answered nothing accepts the key: by real processes, under load, whatever happens to the engines meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keys.lifecycle.revocation import revoke_key
from keys.states import RevocationReason
from keys.verification.receipts import How, stop_with_receipt
from tests.people import acting, issued, verifying_credential
from tests.portal.verify.storms import Storm, VerifyServer
from tests.portal.verify.wires import Wire

pytestmark = pytest.mark.timeout(240)


def stop(world, key):
    """What every door does: commit, then wait until it is everywhere."""
    revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    receipt = stop_with_receipt(key, action="revoked")
    return time.monotonic(), receipt


@pytest.fixture
def valkey_wire(valkey) -> Iterator[Wire]:
    path = os.environ["REDIS_URL"].removeprefix("unix://").split("?")[0]
    with Wire(Path(path)) as wire:
        yield wire


@pytest.fixture
def two_verifiers(sealing, world, valkey_wire, tmp_path) -> Iterator[list[VerifyServer]]:
    """Two servers that are woken over a wire which can be cut."""
    environment = {"REDIS_URL": f"redis://127.0.0.1:{valkey_wire.port}/0"}
    servers = [VerifyServer(tmp_path, **environment) for _ in range(2)]
    for server in servers:
        server.start()
    try:
        for server in servers:
            server.wait_until_fresh()
        yield servers
    finally:
        for server in servers:
            server.stop()


@contextmanager
def undisturbed(*_):
    yield


@contextmanager
def frozen_valkey(_servers, _wire, valkey):
    pid = int(valkey.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def flushed_valkey(_servers, _wire, valkey):
    valkey.flushall()
    yield


@contextmanager
def partitioned_valkey(_servers, wire, _valkey):
    wire.silence()
    try:
        yield
    finally:
        wire.mend()


@contextmanager
def frozen_verifier(servers, _wire, _valkey):
    """It hears of nothing, and wakes when the stop has been answered."""
    servers[0].send(signal.SIGSTOP)
    try:
        yield
    finally:
        servers[0].send(signal.SIGCONT)


DISTURBANCES = [undisturbed, frozen_valkey, flushed_valkey, partitioned_valkey, frozen_verifier]


def one_round(world, servers, wire, valkey, storm, disturbance) -> tuple[int, int]:
    """Revoke under load; returns how many were accepted before, and how many questions came after."""
    key, _, secret = issued(world)
    storm.about(secret.reveal())
    storm.wait_for(40)
    with disturbance(servers, wire, valkey):
        answered, receipt = stop(world, key)
    asked = len(storm.heard)
    deadline = time.monotonic() + 20
    while len(storm.heard) < asked + 60 and time.monotonic() < deadline:
        time.sleep(0.01)
    late = storm.accepted_after(answered)
    assert not late, f"{disturbance.__name__}: {len(late)} accepted after the answer, {receipt.verifiers}"
    refused = sum(each.valid is False and each.began > answered for each in storm.heard)
    assert refused, f"{disturbance.__name__}: nobody was refused afterwards"
    assert len(receipt.verifiers) == 2
    if disturbance is frozen_verifier:
        assert {word["how"] for word in receipt.verifiers} == {How.ACKNOWLEDGED, How.LEASE_ENDED}
    return sum(each.valid is True for each in storm.heard), refused


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_nothing_is_accepted_after_a_stop_was_answered(world, two_verifiers, valkey_wire, valkey, rounds):
    credential = verifying_credential(world).reveal()
    if rounds > 1:
        time.sleep(310)  # long idle connections are the ones that die unseen
    accepted = refused = 0
    with Storm(two_verifiers, credential, "-", width=8, pause=0.012) as storm:
        for _ in range(rounds):
            for disturbance in DISTURBANCES:
                before, after = one_round(world, two_verifiers, valkey_wire, valkey, storm, disturbance)
                accepted, refused = accepted + before, refused + after
    print(f"{accepted} accepted before, {refused} refused after, 0 accepted after")


def test_without_the_database_answers_go_on_within_the_lease_and_come_back_by_themselves(
    sealing, world, valkey, tmp_path
):
    secret = issued(world)[2].reveal()
    credential = verifying_credential(world).reveal()
    url = os.environ["DATABASE_VERIFIER_URL"]
    folder, name = url.split("@/")[1].rsplit("/", 1)
    with Wire(Path("/") / folder.lstrip("/") / ".s.PGSQL.5432") as wire:
        away = {"DATABASE_VERIFIER_URL": f"postgres://keystead_verifier@127.0.0.1:{wire.port}/{name}"}
        with VerifyServer(tmp_path, **away) as server, Storm([server], credential, secret, width=2) as storm:
            storm.wait_for(20)
            cut = time.monotonic()
            wire.cut()
            while not any(each.valid is None and each.began > cut for each in storm.heard):
                assert time.monotonic() < cut + 20
                time.sleep(0.05)
            accepted = [each.began - cut for each in storm.heard if each.valid and each.began > cut]
            assert max(accepted) > 1, "it was to go on within the lease"
            assert max(accepted) < 3, "no lease is longer"
            wire.mend()
            mended = time.monotonic()
            while not any(each.valid and each.began > mended for each in storm.heard):
                assert time.monotonic() < mended + 20
                time.sleep(0.05)
