"""A revocation that was answered is never undone: over real sockets, by other processes, with Valkey stopped too."""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import threading
import time

import pytest
from django.db import connections

from audit import clock
from keys.crypto.key_text import mint
from keys.errors import KeysError
from keys.lifecycle.revocation import reinstate_key, revoke_key, suspend_key
from keys.lifecycle.rotation import issue_new_version
from keys.models import KeyVersion, ManagedKey
from keys.states import RevocationReason
from tests.people import acting, issued, verifying_credential
from tests.portal.api.stage import make_program


class Service:
    """A service that asks over one kept connection."""

    def __init__(self, server, credential: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self.headers = {
            "Host": f"localhost:{server.port}",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {credential}",
        }

    def post(self, path: str, body: object) -> tuple[int, dict]:
        self.connection.request("POST", path, json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def verify(self, secret: str) -> dict:
        status, said = self.post("/v1/verify", {"key": secret, "client": {"address": "192.0.2.1"}})
        assert status == 200, said
        return said

    def close(self) -> None:
        self.connection.close()


class Storm:
    """Threads that ask without a pause, each noting when it began to ask and what it heard."""

    def __init__(self, server, credential: str, secret: str, *, width: int) -> None:
        self.heard: list[tuple[float, dict]] = []
        self.failed: list[BaseException] = []
        self.over = threading.Event()
        arguments = (server, credential, secret)
        self.threads = [threading.Thread(target=self._ask, args=arguments) for _ in range(width)]

    def _ask(self, server, credential, secret) -> None:
        service = Service(server, credential)
        try:
            while not self.over.is_set():
                began = time.monotonic()
                self.heard.append((began, service.verify(secret)))
        except BaseException as error:
            self.failed.append(error)
        finally:
            service.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(self.heard) < 20 and not self.failed and time.monotonic() < deadline:
            time.sleep(0.01)
        return self

    def go_on_after(self, answered: float) -> None:
        """Until each has asked again since."""
        deadline = time.monotonic() + 60
        while sum(began > answered for began, _ in list(self.heard)) < 3 * len(self.threads) and not self.failed:
            assert time.monotonic() < deadline, "the storm was to go on after the revocation"
            time.sleep(0.01)

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.failed, self.failed


def storm_around_a_revocation(server, world) -> None:
    credential = verifying_credential(world).reveal()
    key, _, secret = issued(world)
    pipeline = Service(server, make_program(world.reporting, world.alice)[1].reveal())
    with Storm(server, credential, secret.reveal(), width=6) as storm:
        status, said = pipeline.post(f"/api/v1/keys/{key.pk}/revoke", {"reason": "key-compromise"})
        answered = time.monotonic()
        assert (status, said["revoked_reason"]) == (200, "key-compromise")
        storm.go_on_after(answered)
    pipeline.close()
    before = [each["valid"] for began, each in storm.heard if began < answered]
    after = [each for began, each in storm.heard if began > answered]
    assert any(before), "the storm was to begin before the revocation"
    assert all(each == {"valid": False, "reason": "compromised"} for each in after)


def test_nothing_verifies_after_a_revocation_was_answered(portal_server, world):
    storm_around_a_revocation(portal_server, world)


def test_nothing_verifies_after_a_revocation_without_valkey(portal_server, world, valkey):
    """Valkey is frozen, so that whoever needed it would hang."""
    pid = int(valkey.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        storm_around_a_revocation(portal_server, world)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_no_concurrent_write_brings_a_revoked_key_back(portal_server, world):
    """Reinstating, suspending, new versions and counting go on beside it; the end stays the end."""
    credential = verifying_credential(world).reveal()
    key, version, secret = issued(world)
    over = threading.Event()

    def write():
        acts = [
            lambda: suspend_key(key, actor=acting(world.alice, "suspend"), reason="investigation"),
            lambda: reinstate_key(key, actor=acting(world.admin, "reinstate")),
            lambda: issue_new_version(key, actor=acting(world.alice, "claim")),
        ]
        while not over.is_set():
            for act in acts:
                try:
                    act()
                except KeysError:
                    continue
        connections.close_all()

    writers = [threading.Thread(target=write) for _ in range(3)]
    with Storm(portal_server, credential, secret.reveal(), width=2) as storm:
        for writer in writers:
            writer.start()
        time.sleep(0.3)
        revoke_key(key, actor=acting(world.responder, "revoke"), reason=RevocationReason.SUPERSEDED)
        answered = time.monotonic()
        storm.go_on_after(answered)
        time.sleep(0.5)  # so that they write beside it
        over.set()
        for writer in writers:
            writer.join()
    assert [each["reason"] for began, each in storm.heard if began > answered]
    assert not any(each["valid"] for began, each in storm.heard if began > answered)
    assert ManagedKey.objects.get(pk=key.pk).revoked_at is not None
    assert not KeyVersion.objects.living(clock.now()).filter(managed_key=key).exists()
    assert KeyVersion.objects.get(pk=version.pk).state == "deactivated"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_stranger_cannot_tell_by_the_time_whether_a_kid_exists(portal_server, world):
    """Alternating questions; the medians differ by less than the spread of one kind with itself."""
    service = Service(portal_server, verifying_credential(world).reveal())
    version = issued(world)[1]
    kids = {"nobody": None, "nobody again": None, "wrong secret": version.kid}
    spent = {name: [] for name in kids}
    for _ in range(3000):
        for name, kid in kids.items():
            question = mint("prod", kid=kid).secret.reveal()
            began = time.perf_counter()
            assert service.verify(question) == {"valid": False, "reason": "unknown"}
            spent[name].append(time.perf_counter() - began)
    service.close()
    median = {name: statistics.median(times) for name, times in spent.items()}
    noise = abs(median["nobody"] - median["nobody again"])
    difference = abs(median["wrong secret"] - median["nobody"])
    assert difference < max(5 * noise, 0.05 * median["nobody"]), median
