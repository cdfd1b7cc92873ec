"""The client for Python against the real portal: verify, follow the feed, rotate, sign, and the command line."""

from __future__ import annotations

import io
import json

import pytest
import requests
from keystead_client import Client, LocalVerifier, Reason, Verifier
from keystead_client.cli.main import OVERLAPS, main
from keystead_client.requests_auth import KeyAuth

from keys.lifecycle.revocation import revoke_key
from keys.states import Overlap, RevocationReason
from tests.people import acting, issued, verifying_credential
from tests.portal.api.stage import make_program
from tests.sdk.cookbook import until

HERE = ("127.0.0.0/8", "::1/128")


@pytest.mark.usefixtures("one_day")
def test_both_verifiers_say_what_the_portal_says_and_a_revocation_reaches_them(portal_server, world):
    credential = verifying_credential(world).reveal()
    key, version, secret = issued(world)
    _, walled, behind = issued(world, name="Walled", networks=("10.0.0.0/8",))
    elsewhere = issued(world, name="Test", environment="test")[2]
    limited = issued(world, name="Limited", limits={"requests_per_day": 2})[2]
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
            assert [verifier.verify(limited.reveal()).reason for _ in range(3)] == [None, None, Reason.QUOTA]
        late = issued(world, name="Late")[2]
        until(lambda: local.verify(late.reveal()))
        assert remote.verify(late.reveal())
        revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
        assert remote.verify(secret.reveal()).reason == Reason.COMPROMISED
        # The door answers a revocation when every lease has run out or confirmed it; the operation alone does not wait.
        until(lambda: not local.verify(secret.reveal()), seconds=4.0)
        assert local.verify(late.reveal())


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
    assert [(each["number"], each["standing"]) for each in said()] == [(str(key), "active")]
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
        "--every-days",
        "10",
        "--overlap",
        "6h",
        "--json",
    ]
    assert main(["request", *wish, *more]) == 0, capsys.readouterr()
    asked = said()
    assert asked["state"] == "pending"
    for name in (asked["id"], asked["number"]):
        assert main(["requests", name, "--json"]) == 0
        assert said()["content"]["rotation"] == {"every_days": 10, "overlap": "6h"}
    (tmp_path / "leak.txt").write_text(f"curl -H 'Authorization: Bearer {secret.reveal()}'")
    assert main(["scan", str(tmp_path / "leak.txt"), "--ask", "--json"]) == 1
    assert [(each["key"], each["state"]) for each in said()] == [(str(key), "active")]
    assert main(["report", str(key), "--comment", "in a file", "--json"]) == 0
    told = said()
    assert {each["state"] for each in told["versions"]} == {"suspended"}
    assert told["receipt"]["action"] == "leak-reported"
    assert main(["receipts", str(key), "--json"]) == 0
    assert said() == [told["receipt"]]
    assert main(["receipts", str(key)]) == 0
    assert f"leak-reported at {told['receipt']['committed_at']}, everywhere at " in capsys.readouterr().out
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


def test_a_program_speaks_to_the_api_by_its_key(portal_server, world):
    secret = make_program(world.reporting, world.alice)[1].reveal()
    answer = requests.get(f"{portal_server.url}/api/v1/me", auth=KeyAuth(secret), timeout=20)
    assert (answer.status_code, answer.json()["kind"]) == (200, "program")


def test_the_command_line_offers_the_overlaps_that_keystead_knows():
    assert list(OVERLAPS) == [str(each) for each in Overlap]
