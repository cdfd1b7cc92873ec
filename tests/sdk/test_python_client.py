"""The client for Python against the real portal: verify, follow the feed, rotate, sign, and the command line."""

from __future__ import annotations

import io
import json
import threading
import time

import pytest
import requests
from keystead_client import Client, FileStore, LocalVerifier, Reason, RotatingCredential, Verifier
from keystead_client.cli.main import main
from keystead_client.requests_auth import KeyAuth

from audit import clock
from audit.actor import Actor
from keys.lifecycle.revocation import revoke_key
from keys.lifecycle.rotation import override_retirement
from keys.lifecycle.rotation_course import finish_rotation
from keys.models import Rotation
from keys.states import Overlap, RevocationReason
from tests.fetching import due, fetching
from tests.people import acting, issued, verifying_credential
from tests.portal.api.stage import make_program
from tests.sdk.cookbook import until

HERE = ("127.0.0.0/8", "::1/128")


def test_both_verifiers_say_what_the_portal_says_and_a_revocation_reaches_them(portal_server, world):
    credential = verifying_credential(world).reveal()
    key, version, secret = issued(world)
    _, walled, behind = issued(world, name="Walled", networks=("10.0.0.0/8",))
    elsewhere = issued(world, name="Test", environment="test")[2]
    with (
        Verifier(portal_server.url, credential=credential) as remote,
        LocalVerifier(portal_server.url, credential=credential, name="tests") as local,
    ):
        for verifier in (remote, local):
            verdict = verifier.verify(secret.reveal(), scopes=["orders:read"])
            assert (verdict.valid, verdict.kid, verdict.service, verdict.environment) == (
                True,
                version.kid,
                "orders",
                "prod",
            )
            assert (verdict.owner_team, verdict.scopes) == ("reporting", {"orders:read"})
            assert abs((verdict.expires_at - version.expires_at).total_seconds()) < 0.01
            assert verifier.verify(secret.reveal(), scopes=["orders:write"]).reason == Reason.SCOPE
            assert verifier.verify(behind.reveal()).reason == Reason.NETWORK
            assert verifier.verify(behind.reveal(), client=Client(address="10.1.1.1")).kid == walled.kid
            assert not verifier.verify(elsewhere.reveal())
        late = issued(world, name="Late")[2]
        until(lambda: local.verify(late.reveal()))
        assert remote.verify(late.reveal())
        revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
        assert remote.verify(secret.reveal()).reason == Reason.COMPROMISED
        # The door answers a revocation when every lease has run out or confirmed it; the operation alone does not wait.
        until(lambda: not local.verify(secret.reveal()), seconds=4.0)
        assert local.verify(late.reveal())


def rotate_under_fire(server, world, path, *, rotations, restarts, pollers, rate):
    """Poll with a client that rotates itself; what it heard, and how often."""
    credential = verifying_credential(world).reveal()
    key, version, secret = fetching(world, networks=HERE)
    heard: list[tuple[bool, str]] = []
    over = threading.Event()
    holder: list[RotatingCredential] = []

    def begin() -> RotatingCredential:
        url = server.url.replace("localhost", "127.0.0.1")
        return RotatingCredential(url, initial=secret.reveal(), store=FileStore(path), settling=0.05)

    holder.append(begin())
    verifier = Verifier(server.url.replace("localhost", "127.0.0.1"), credential=credential, timeout=10)

    def poll() -> None:
        """Call a service as a program does, which verifies; the other version is tried once, as KeyAuth does."""
        while not over.is_set():
            began = time.monotonic()
            presented = holder[0].current()
            verdict = verifier.verify(presented.reveal(), client=Client(address="127.0.0.1"))
            if not verdict and (other := holder[0].rejected(presented)) is not None:
                verdict = verifier.verify(other.reveal(), client=Client(address="127.0.0.1"))
            heard.append((verdict.valid, str(verdict.reason)))
            over.wait(max(0.0, 1 / rate - (time.monotonic() - began)))

    threads = [threading.Thread(target=poll) for _ in range(pollers)]
    for thread in threads:
        thread.start()
    kids = {version.kid}
    try:
        for turn in range(rotations):
            # Every second one leaves no overlap, as in an emergency: the old one ends the moment the new one works.
            due(world, key, Overlap.NOW if turn % 2 else Overlap.HOUR)
            before = holder[0].current()
            until(lambda before=before: holder[0].refresh() is not None and holder[0].current() != before, seconds=30)
            kids.add(holder[0].current().reveal().split("_")[2])
            if turn < restarts:
                holder[0] = begin()
            finish(world, key)
        time.sleep(0.2)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        verifier.close()
    assert len(kids) == rotations + 1
    return heard


def finish(world, key):
    """End the rotation as its deadline would: the old version is retired."""
    rotation = Rotation.objects.open().get(managed_key=key)
    if not finish_rotation(rotation, actor=Actor.job("tests")):
        override_retirement(rotation, retire_at=clock.now(), actor=acting(world.admin, "revoke"))
        until(lambda: finish_rotation(rotation, actor=Actor.job("tests")))


def test_no_request_fails_through_rotations_and_restarts(portal_server, world, tmp_path):
    heard = rotate_under_fire(portal_server, world, tmp_path / "key", rotations=2, restarts=1, pollers=1, rate=100)
    assert len(heard) > 10
    assert set(heard) == {(True, "None")}


def test_the_command_line_does_what_the_api_allows_a_program(portal_server, world, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key, version, secret = issued(world)

    def give(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))

    def said():
        return json.loads(capsys.readouterr().out)

    for name in ("KEYSTEAD_URL", "KEYSTEAD_API_KEY", "KEYSTEAD_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    give(make_program(world.reporting, world.alice)[1].reveal())
    assert main(["login", "--url", portal_server.url, "--json"]) == 0
    assert said()["kind"] == "program"
    assert main(["list", "--service", "orders", "--json"]) == 0
    assert [each["number"] for each in said()] == [str(key)]
    assert main(["show", version.kid, "--json"]) == 0
    assert said()["id"] == str(key.pk)
    wish = [
        "--service",
        "orders",
        "--environment",
        "prod",
        "--team",
        "reporting",
        "--name",
        "From CI",
        "--consumer",
        "ci",
    ]
    more = [
        "--purpose",
        "Build the nightly report.",
        "--scope",
        "orders:read",
        "--recipient",
        str(world.alice.pk),
        "--json",
    ]
    assert main(["request", *wish, *more]) == 0, capsys.readouterr()
    asked = said()
    assert asked["state"] == "pending"
    assert main(["requests", asked["id"], "--json"]) == 0
    capsys.readouterr()
    (tmp_path / "leak.txt").write_text(f"curl -H 'Authorization: Bearer {secret.reveal()}'")
    assert main(["scan", str(tmp_path / "leak.txt"), "--ask", "--json"]) == 1
    assert [(each["key"], each["state"]) for each in said()] == [(str(key), "active")]
    assert main(["report", str(key), "--comment", "in a file", "--json"]) == 0
    assert {each["state"] for each in said()["versions"]} == {"suspended"}
    assert main(["revoke", version.kid, "--reason", "key-compromise", "--json"]) == 0
    assert said()["revoked_reason"] == "key-compromise"
    monkeypatch.setenv("KEYSTEAD_API_KEY", verifying_credential(world).reveal())
    monkeypatch.setenv("KEYSTEAD_URL", portal_server.url)
    give(secret.reveal())
    assert main(["verify", "--json"]) == 1
    assert said()["reason"] == "compromised"
    assert main(["list"]) == 3  # a key that verifies may not list
    assert "scope_missing" in capsys.readouterr().err
    monkeypatch.setenv("KEYSTEAD_API_KEY", secret.reveal())
    assert main(["me"]) == 3
    assert secret.reveal() not in "".join(capsys.readouterr())


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_no_request_fails_through_fifty_rotations(portal_server, world, tmp_path, monkeypatch):
    heard = rotate_under_fire(portal_server, world, tmp_path / "key", rotations=50, restarts=10, pollers=4, rate=50)
    assert set(heard) == {(True, "None")}
    print(f"{len(heard)} requests, none failed")


def test_a_program_speaks_to_the_api_by_its_key(portal_server, world):
    secret = make_program(world.reporting, world.alice)[1].reveal()
    answer = requests.get(f"{portal_server.url}/api/v1/me", auth=KeyAuth(secret), timeout=20)
    assert (answer.status_code, answer.json()["kind"]) == (200, "program")
