"""Once a stop was answered nothing accepts the key: by real processes, under load, whatever happens to the engines meanwhile."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from keys.lifecycle.revocation import revoke_key
from keys.states import RevocationReason
from keys.verification.watching.receipts import How, stop_with_receipt
from portal.embedded import Engines
from tests.keys.jobs.processes import silenced
from tests.keys.verification.following import behind_the_back
from tests.people import World, acting, issued, verifying_credential
from tests.portal.verify.storms import Storm, VerifyServer, servers_of
from tests.portal.verify.wires import Wire

pytestmark = pytest.mark.timeout(240)
# Twice what is usual: a machine that stands still for a moment ends no lease before somebody waits for it.
STALENESS = "UPDATE keys_environment SET max_staleness_ms = 6000 WHERE tag = 'prod'"


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
def two_verifiers(sealing, world, superuser, valkey_wire, tmp_path) -> Iterator[list[VerifyServer]]:
    """Two servers that are woken over a wire which can be cut."""
    behind_the_back(superuser, STALENESS)
    environment = {"REDIS_URL": f"redis://127.0.0.1:{valkey_wire.port}/0"}
    with servers_of(tmp_path, 2, **environment) as servers:
        yield servers


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What can be disturbed."""

    world: World
    servers: list[VerifyServer]
    wire: Wire
    valkey: redis.Redis
    engines: Engines


@pytest.fixture
def scene(world, two_verifiers, valkey_wire, valkey, engines) -> Scene:
    return Scene(world=world, servers=two_verifiers, wire=valkey_wire, valkey=valkey, engines=engines)


@contextmanager
def undisturbed(_scene):
    yield


@contextmanager
def stopped_valkey(scene):
    with silenced(scene.engines):
        yield


@contextmanager
def frozen_valkey(scene):
    """It takes what is sent, and never answers."""
    pid = int(scene.valkey.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def flushed_valkey(scene):
    scene.valkey.flushall()
    yield


@contextmanager
def partitioned_valkey(scene):
    scene.wire.silence()
    try:
        yield
    finally:
        scene.wire.mend()


@contextmanager
def frozen_verifier(scene):
    """It hears of nothing, and wakes when the stop has been answered."""
    scene.servers[0].send(signal.SIGSTOP)
    try:
        yield
    finally:
        scene.servers[0].send(signal.SIGCONT)


DISTURBANCES = [undisturbed, stopped_valkey, frozen_valkey, flushed_valkey, partitioned_valkey, frozen_verifier]


def one_round(scene, storm, disturbance) -> None:
    """Revoke under load; what is asked afterwards is refused."""
    key, _, secret = issued(scene.world)
    storm.about(secret.reveal())
    storm.wait_for(40)
    with disturbance(scene):
        answered, receipt = stop(scene.world, key)
        storm.stopped(answered)
    asked = len(storm.heard)
    deadline = time.monotonic() + 60
    while len(storm.heard) < asked + 60 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not storm.late(), f"{disturbance.__name__}: accepted after the answer, {receipt.verifiers}"
    refused = sum(each.valid is False and each.began > answered for each in storm.heard)
    assert refused, f"{disturbance.__name__}: nobody was refused afterwards"
    assert len(receipt.verifiers) == 2
    if disturbance is frozen_verifier:
        assert {word["how"] for word in receipt.verifiers} == {How.ACKNOWLEDGED, How.LEASE_ENDED}


def test_nothing_is_accepted_after_a_stop_was_answered(scene):
    credential = verifying_credential(scene.world).reveal()
    with Storm(scene.servers, credential, "-", width=8) as storm:
        for disturbance in DISTURBANCES:
            one_round(scene, storm, disturbance)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_is_accepted_after_a_hundred_stops_in_fifty_thousand_attempts(scene):
    """Five hundred questions a second from three processes, over connections that were idle for more than five minutes."""
    credential = verifying_credential(scene.world).reveal()
    time.sleep(310)  # what dies unseen is what was idle for long
    began = time.monotonic()
    with Storm(scene.servers, credential, "-", width=30, rate=510, processes=3) as storm:
        for _ in range(17):
            for disturbance in DISTURBANCES:
                one_round(scene, storm, disturbance)
        while storm.attempts < 50_000:
            time.sleep(1)  # of the last one, which stays stopped
    seconds = time.monotonic() - began
    assert not storm.late()
    accepted = sum(each.valid is True for heard in storm.all for each in heard)
    print(
        f"{storm.attempts} attempts in {seconds:.0f} s, {accepted} accepted before their stop was answered, 0 that began after"
    )
    assert accepted > 100 * 40


@pytest.mark.parametrize("ends", ["cut", pytest.param("silence", marks=pytest.mark.long)])
def test_without_the_database_answers_go_on_within_the_lease_and_come_back_by_themselves(
    sealing, world, superuser, valkey, tmp_path, ends
):
    """Whether its connections end or hang: nobody who asks waits for it."""
    behind_the_back(superuser, STALENESS)
    secret = issued(world)[2].reveal()
    credential = verifying_credential(world).reveal()
    url = os.environ["DATABASE_VERIFIER_URL"]
    folder, name = url.split("@/")[1].rsplit("/", 1)
    with Wire(Path("/") / folder.lstrip("/") / ".s.PGSQL.5432") as wire:
        away = {"DATABASE_VERIFIER_URL": f"postgres://keystead_verifier@127.0.0.1:{wire.port}/{name}"}
        with VerifyServer(tmp_path, **away) as server, Storm([server], credential, secret, width=2) as storm:
            storm.wait_for(20)
            getattr(wire, ends)()
            cut = time.monotonic()
            while not any(each.valid is None and each.began > cut for each in storm.heard):
                assert time.monotonic() < cut + 60
                time.sleep(0.05)
            accepted = [each.began - cut for each in storm.heard if each.valid and each.began > cut]
            assert max(accepted) > 1, "it was to go on within the lease"
            assert max(accepted) < 6, "no lease is longer"
            wire.mend()
            mended = time.monotonic()
            while not any(each.valid and each.began > mended for each in storm.heard):
                assert time.monotonic() < mended + 60
                time.sleep(0.05)
            # By the median, for one answer may meet a processor that others hold.
            assert statistics.median(each.took for each in storm.heard if cut < each.began < mended) < 0.5
            assert max(each.took for each in storm.heard) < 10, "somebody waited for the database"
