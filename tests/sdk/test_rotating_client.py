"""A client that rotates itself against the real portal, and polls a service all the while: no request fails."""

from __future__ import annotations

import threading
import time

import pytest
from keystead_client import Client, FileStore, RotatingCredential, Verifier

from audit import clock
from audit.actor import Actor
from keys.lifecycle.rotation import override_retirement
from keys.lifecycle.rotation_sweeps import finish_rotation
from keys.models import Rotation
from keys.states import Overlap
from tests.fetching import due, fetching
from tests.people import acting, verifying_credential
from tests.sdk.cookbook import until

HERE = Client(address="127.0.0.1")


class Polling:
    """Threads that call a service as a program does, `rate` times a second together; the service asks `door`."""

    def __init__(self, door, credential, holder, *, threads, rate):
        self.heard = []
        self._verifier = Verifier(door, credential=credential, timeout=30)
        self._holder, self._pause = holder, threads / rate
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._poll) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._verifier.close()

    def _poll(self):
        due = time.monotonic()
        while not self._over.is_set():
            self.heard.append(self._ask())
            due = max(due + self._pause, time.monotonic() - 10)  # what a busy machine held up is made up for
            self._over.wait(max(0.0, due - time.monotonic()))

    def _ask(self):
        """The other version is tried once, as KeyAuth does."""
        holder = self._holder[0]
        presented = holder.current()
        verdict = self._verifier.verify(presented.reveal(), client=HERE)
        if not verdict and (other := holder.rejected(presented)) is not None:
            verdict = self._verifier.verify(other.reveal(), client=HERE)
        return verdict.valid, str(verdict.reason)


def rotate_under_fire(portal, door, world, path, *, rotations, restarts, threads, rate, settling):
    """Poll `door` while `portal` rotates the key; returns what was heard, and how many a second."""
    credential = verifying_credential(world).reveal()
    key, version, secret = fetching(world, networks=("127.0.0.0/8", "::1/128"))

    def begin():
        return RotatingCredential(portal, initial=secret.reveal(), store=FileStore(path), settling=settling, timeout=30)

    holder = [begin()]
    until(lambda: Verifier(door, credential=credential).verify(secret.reveal(), client=HERE))
    kids, began = {version.kid}, time.monotonic()
    with Polling(door, credential, holder, threads=threads, rate=rate) as polling:
        for turn in range(rotations):
            # Every second one leaves no overlap, as in an emergency: the old one ends the moment the new one works.
            due(world, key, Overlap.NOW if turn % 2 else Overlap.HOUR)
            before = holder[0].current()
            until(lambda before=before: holder[0].refresh() is not None and holder[0].current() != before)
            kids.add(holder[0].current().reveal().split("_")[2])
            if turn < restarts:
                ended, holder[0] = holder[0], begin()  # the program starts again, with what it stored
                ended.close()
            finish(world, key)
        heard = len(polling.heard)
        until(lambda: len(polling.heard) > heard + 5)
        rate_reached = len(polling.heard) / (time.monotonic() - began)
    holder[0].close()
    assert len(kids) == rotations + 1
    return polling.heard, rate_reached


def finish(world, key):
    """End the rotation as its deadline would: the old version is retired."""
    rotation = Rotation.objects.open().get(managed_key=key)
    if not finish_rotation(rotation, actor=Actor.job("tests")):
        override_retirement(rotation, retire_at=clock.now(), actor=acting(world.admin, "revoke"))
        until(lambda: finish_rotation(rotation, actor=Actor.job("tests")))


def test_no_request_fails_through_rotations_and_restarts(portal_server, world, tmp_path):
    site = portal_server.url.replace("localhost", "127.0.0.1")
    heard, _ = rotate_under_fire(
        site, site, world, tmp_path / "key", rotations=2, restarts=1, threads=1, rate=100, settling=0.05
    )
    assert len(heard) > 10
    assert set(heard) == {(True, "None")}


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_no_request_fails_through_fifty_rotations_at_two_hundred_a_second(portal_server, verify_door, world, tmp_path):
    """Against the door that answers from memory, which hears of each rotation a moment later."""
    site = portal_server.url.replace("localhost", "127.0.0.1")
    heard, rate = rotate_under_fire(
        site, verify_door, world, tmp_path / "key", rotations=50, restarts=10, threads=4, rate=240, settling=1.0
    )
    print(f"{len(heard)} requests, {rate:.0f} a second, {sum(not valid for valid, _ in heard)} failed")
    assert set(heard) == {(True, "None")}
    assert rate >= 200
