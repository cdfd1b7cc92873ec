"""The command line and the portal speak the same device sign-in: begun, answered in a browser, used, ended."""

import json

import pytest
from keystead_client.cli import device, signing_in
from keystead_client.cli.main import main
from keystead_client.errors import Refused
from keystead_client.transport import Transport

from keys.models import DeviceSignIn, Session, Team
from keys.people.teams import add_member
from tests.devices import answered, token_of
from tests.people import SYSTEM, issued


def test_alice_signs_her_command_line_in_asks_and_signs_out(portal_server, world, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("KEYSTEAD_URL", "KEYSTEAD_API_KEY", "KEYSTEAD_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    key, _, _ = issued(world)

    def answer_meanwhile(_seconds):
        code = capsys.readouterr().err.splitlines()[3].strip()
        answered(world.alice, {"id": DeviceSignIn.objects.get().pk, "user_code": code})

    monkeypatch.setattr(signing_in, "sleep", answer_meanwhile)
    assert main(["login", "--device", "--url", portal_server.url, "--name", "build box"]) == 0
    assert Session.objects.get(kind="device").name == "build box"
    assert Session.objects.get(kind="device").user_agent.startswith("keystead-cli (")
    assert main(["list", "--json"]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out.partition("[")[2].join(["[", ""]))] == [
        str(key.pk)
    ]
    wish = [
        "--service",
        "orders",
        "--environment",
        "prod",
        "--team",
        "reporting",
        "--name",
        "Another",
        "--consumer",
        "c",
    ]
    assert main(["request", *wish, "--purpose", "Read the orders.", "--scope", "orders:read"]) == 0
    capsys.readouterr()
    assert main(["revoke", f"KEY-{key.number}", "--reason", "superseded"]) == 3
    assert f"/keys/{key.number}/revoke/" in capsys.readouterr().err
    key.refresh_from_db()
    assert key.revoked_at is None
    assert main(["logout"]) == 0
    assert not Session.objects.filter(kind="device").exists()
    assert main(["whoami"]) == 2


def test_the_command_line_asks_for_the_credential_of_a_service(portal_server, world, monkeypatch, capsys):
    monkeypatch.setenv("KEYSTEAD_URL", portal_server.url)
    monkeypatch.setenv("KEYSTEAD_API_KEY", token_of(world.bob))
    add_member(Team.objects.get(slug="keystead"), person=world.carol, roles=["approver"], actor=SYSTEM)
    wish = {
        "service": "keystead", "environment": "dev", "team": "orders", "name": "Verifies orders", "consumer": "orders-api",
        "purpose": "Let the API of orders verify its keys.", "scope": "keys:verify", "verifies": "orders",
        "per-minute": "60", "recipient": str(world.bob.pk),
    }  # fmt: skip
    assert main(["request", "--json", *(f"--{name}={value}" for name, value in wish.items())]) == 0, capsys.readouterr()
    content = json.loads(capsys.readouterr().out)["content"]
    assert content["verifies"] == {"service": "orders", "environment": "dev"}
    assert content["limits"] == {"requests_per_minute": 60}


def test_a_machine_that_is_turned_away_stops_asking(portal_server, world):
    transport = Transport(portal_server.url)
    begun = device.begin(transport, name="build box")

    def deny(_seconds):
        answered(world.alice, {"id": DeviceSignIn.objects.get().pk, "user_code": begun.user_code}, "deny")

    with pytest.raises(Refused) as refused:
        device.wait_for(begun, transport, pause=deny, clock=lambda: 0.0)
    assert refused.value.code == "access_denied"
    with pytest.raises(Refused):
        device.begin(transport, name="two\nlines")  # none at all is a plain client's
