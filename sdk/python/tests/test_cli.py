"""The command line: exit codes that scripts rely on, JSON for programs, and secrets nowhere but where they belong."""

import io
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import keystead_client
import pytest
from fake_keystead import problem, vectors
from fake_rotation import FakeRotation
from keystead_client import RotatingCredential
from keystead_client.cli.main import main

KEY = vectors("key_text")["valid"][8]["text"]
KID = vectors("key_text")["valid"][8]["kid"]
CREDENTIAL = vectors("key_text")["valid"][6]["text"]
DETAIL = {
    "id": "0199a2f0-0000-7000-8000-00000000000a", "number": "KEY-7", "name": "Nightly\x1b[31m", "service": "orders",
    "environment": "prod", "owner_team": "reporting", "scopes": ["orders:read"], "authorised_until": "2027-01-01T00:00:00Z",
    "revoked_at": None, "revoked_reason": "", "versions": [{"kid": KID, "state": "active", "last4": "8evJ"}],
}  # fmt: skip

RECEIPT = {
    "action": "revoked", "committed_at": "2026-11-23T10:00:00Z", "answered_at": "2026-11-23T10:00:00.031Z",
    "last_used_at": "2026-11-23T09:59:59Z", "used_after": False,
    "verifiers": [{"verifier": "v", "name": "orders-api", "how": "acknowledged", "at": "2026-11-23T10:00:00.029Z"}],
}  # fmt: skip


@pytest.fixture
def asking(keystead, monkeypatch, tmp_path):
    """A machine whose environment names the fake Keystead."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("KEYSTEAD_URL", keystead.url)
    monkeypatch.setenv("KEYSTEAD_API_KEY", CREDENTIAL)
    monkeypatch.delenv("KEYSTEAD_API_KEY_FILE", raising=False)
    for query in ("number=KEY-7", f"kid={KID}"):
        keystead.on(f"GET /api/v1/keys?{query}", (200, {"results": [DETAIL], "next": None}))
    keystead.on(f"GET /api/v1/keys/{DETAIL['id']}", (200, DETAIL))
    return keystead


def give(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))


def test_login_checks_the_key_and_stores_it_for_its_owner_alone(keystead, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("KEYSTEAD_URL", "KEYSTEAD_API_KEY", "KEYSTEAD_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["me"]) == 2
    keystead.on(
        "GET /api/v1/me", (200, {"kind": "program", "name": "CI", "environment": "prod", "scopes": ["keys:read"]})
    )
    give(monkeypatch, CREDENTIAL)
    assert main(["login", "--url", keystead.url]) == 0
    file = tmp_path / "keystead" / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["me", "--json"]) == 0
    told = capsys.readouterr()
    assert CREDENTIAL not in told.out + told.err
    assert main(["logout"]) == 0
    assert main(["me"]) == 2


def test_a_key_among_the_arguments_is_refused_without_an_echo(asking, capsys):
    assert main(["verify", KEY]) == 2
    told = capsys.readouterr()
    assert KEY not in told.out + told.err
    assert not asking.asked


def test_keys_are_listed_through_all_pages_and_controls_are_not_sent_to_the_terminal(asking, capsys):
    asking.on("GET /api/v1/keys?service=orders&limit=100", (200, {"results": [DETAIL], "next": "c"}))
    asking.on("GET /api/v1/keys?service=orders&limit=100&cursor=c", (200, {"results": [DETAIL], "next": None}))
    assert main(["list", "--service", "orders"]) == 0
    told = capsys.readouterr().out
    assert told.count("KEY-7") == 2
    assert "\x1b" not in told
    assert main(["list", "--service", "orders", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.parametrize("name", ["KEY-7", "key-7", KID, DETAIL["id"]])
def test_a_key_is_found_by_any_of_its_names(asking, capsys, name):
    assert main(["show", name]) == 0
    assert KID in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "path", "body"),
    [
        (["revoke", "KEY-7", "--reason", "key-compromise"], "revoke", {"reason": "key-compromise"}),
        (["suspend", "KEY-7", "--reason", "investigation"], "suspend", {"reason": "investigation"}),
        (["report", "KEY-7", "--comment", "in a paste"], "report-leak", {"comment": "in a paste"}),
    ],
)
def test_stopping_a_key_is_one_idempotent_call_and_shows_its_receipt(asking, capsys, command, path, body):
    asking.on(f"POST /api/v1/keys/{DETAIL['id']}/{path}", (200, DETAIL))
    asking.on(f"GET /api/v1/keys/{DETAIL['id']}/receipts", (200, {"receipts": [RECEIPT]}))
    assert main(command) == 0
    assert asking.asked[-2].json == body
    assert asking.asked[-2].headers["idempotency-key"]
    told = capsys.readouterr().out
    assert "revoked at 2026-11-23T10:00:00Z, everywhere at 2026-11-23T10:00:00.031Z" in told
    assert re.search(r"^orders-api +acknowledged +2026-11-23T10:00:00.029Z$", told, re.M)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**DETAIL, "receipt": RECEIPT}


def test_a_stop_whose_receipt_cannot_be_read_is_a_stop(asking, capsys):
    asking.on(f"POST /api/v1/keys/{DETAIL['id']}/revoke", (200, DETAIL))
    asking.on(f"GET /api/v1/keys/{DETAIL['id']}/receipts", problem("busy_retry", 503))
    assert main(["revoke", "KEY-7", "--reason", "superseded", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["receipt"] is None
    assert "it is stopped" in told.err


def test_the_receipts_of_a_key_are_shown_the_latest_first(asking, capsys):
    at = f"GET /api/v1/keys/{DETAIL['id']}/receipts"
    asking.on(at, (200, {"receipts": []}))
    assert main(["receipts", "KEY-7"]) == 0
    assert capsys.readouterr().out == "It was never stopped.\n"
    before = {**RECEIPT, "action": "suspended", "verifiers": [], "used_after": True}
    asking.on(at, (200, {"receipts": [RECEIPT, before]}))
    assert main(["receipts", KID]) == 0
    told = capsys.readouterr().out
    assert told.index("revoked at") < told.index("suspended at")
    assert "No verifier held keys in memory." in told
    assert "It was accepted since, at 2026-11-23T09:59:59Z." in told
    assert main(["receipts", "KEY-7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [RECEIPT, before]


def test_refusals_and_silence_have_codes_of_their_own(asking, capsys, monkeypatch):
    asking.on(f"POST /api/v1/keys/{DETAIL['id']}/revoke", problem("scope_missing", 403))
    assert main(["revoke", "KEY-7", "--reason", "superseded", "--json"]) == 3
    assert json.loads(capsys.readouterr().err)["error"] == "scope_missing"
    asking.on("GET /api/v1/me", problem("busy_retry", 503))
    assert main(["me"]) == 4
    monkeypatch.setenv("KEYSTEAD_URL", "http://127.0.0.1:1")
    assert main(["me"]) == 4
    with pytest.raises(SystemExit) as raised:
        main(["revoke", "KEY-7"])
    assert raised.value.code == 2


@pytest.mark.parametrize("url", ["nope", "ftp://x", "https://", "https://x:99999", "https://[::1", "https://x?y"])
@pytest.mark.parametrize(
    "command", [["login"], ["login", "--device"], ["me"], ["verify", "--door"], ["rotate", "--store", "s"]]
)
def test_what_is_no_address_is_not_understood(asking, monkeypatch, capsys, tmp_path, command, url):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    if command == ["me"]:
        monkeypatch.setenv("KEYSTEAD_URL", url)
    elif command == ["verify", "--door"]:
        command = [*command, url]
    else:
        command = [*command, "--url", url]
    assert main(command) == 2
    assert "https://keys.example.com" in capsys.readouterr().err
    assert not asking.asked


def test_a_key_file_that_cannot_be_read_is_not_an_answer_that_cannot_be_written(asking, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("KEYSTEAD_API_KEY", raising=False)
    for unreadable in (tmp_path, tmp_path / "missing"):
        monkeypatch.setenv("KEYSTEAD_API_KEY_FILE", str(unreadable))
        assert main(["me"]) == 2
        assert str(unreadable) in capsys.readouterr().err


def test_a_reason_that_nobody_offers_is_not_understood_and_asks_nothing(asking, capsys):
    for command in ("revoke", "suspend"):
        with pytest.raises(SystemExit) as raised:
            main([command, "KEY-7", "--reason", "because"])
        assert raised.value.code == 2
    assert "suspected-leak" in capsys.readouterr().err
    assert not asking.asked


@pytest.mark.parametrize("buffering", ["", "1"])
@pytest.mark.parametrize("into", ["closed", "full"])
def test_an_answer_that_nobody_reads_is_never_a_yes(tmp_path, buffering, into):
    """Whoever pipes findings into `head` goes by the code alone."""
    (tmp_path / "leak.txt").write_text(f"{KEY}\n" * 2000)
    command = [sys.executable, "-c", "from keystead_client.cli.main import main; import sys; sys.exit(main())"]
    reads, writes = os.pipe()
    os.close(reads)
    if into == "full":
        os.close(writes)
        writes = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(writes, "wb") as out:
        ran = subprocess.run(
            [*command, "scan", str(tmp_path)],
            check=False,
            stdout=out,
            stderr=subprocess.PIPE,
            env=os.environ
            | {"PYTHONUNBUFFERED": buffering, "PYTHONPATH": str(Path(keystead_client.__file__).parents[1])},
            timeout=60,
        )
    assert ran.returncode == (141 if into == "closed" else 74)
    assert b"Traceback" not in ran.stderr
    assert b"Exception ignored" not in ran.stderr


def test_what_is_no_text_is_not_understood(asking, capsys):
    assert main(["show", "\udcff"]) == 2
    assert "keystead: " in capsys.readouterr().err


def test_verify_reads_the_key_from_stdin(asking, monkeypatch, capsys):
    asking.on("POST /v1/verify", (200, {"valid": True, "kid": KID, "scopes": ["orders:read"]}))
    give(monkeypatch, KEY)
    assert main(["verify", "--scope", "orders:read", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "kid": KID, "scopes": ["orders:read"]}
    asking.on("POST /v1/verify", (200, {"valid": False, "reason": "expired"}))
    give(monkeypatch, KEY)
    assert main(["verify"]) == 1
    asking.on("POST /v1/verify", problem("verifier_stale", 503))
    give(monkeypatch, KEY)
    assert main(["verify"]) == 4


def test_a_request_names_what_is_wanted(asking):
    asking.on("POST /api/v1/requests", (201, {"number": "REQ-1", "state": "pending"}))
    words = [
        "--service",
        "orders",
        "--environment",
        "prod",
        "--team",
        "reporting",
        "--name",
        "Nightly",
        "--consumer",
        "b",
    ]
    more = [
        "--purpose",
        "Reports.",
        "--scope",
        "orders:read",
        "--network",
        "10.0.0.0/8",
        "--self-fetch",
        "--once",
        "build-1",
    ]
    assert main(["request", *words, *more]) == 0
    asked = asking.asked[-1]
    assert asked.headers["idempotency-key"] == "build-1"
    assert (asked.json["scopes"], asked.json["self_fetch"], asked.json["networks"]) == (
        ["orders:read"],
        True,
        ["10.0.0.0/8"],
    )


@pytest.mark.parametrize("name", ["REQ-7", "req-7", "0199a2f0-0000-7000-8000-00000000000b"])
def test_a_request_is_found_by_its_number_or_its_id(asking, capsys, name):
    told = {"id": "0199a2f0-0000-7000-8000-00000000000b", "number": "REQ-7", "state": "denied"}
    asking.on("GET /api/v1/requests?number=REQ-7", (200, {"results": [told], "next": None}))
    asking.on(f"GET /api/v1/requests/{told['id']}", (200, told))
    assert main(["requests", name]) == 1, "it was denied"
    assert "REQ-7" in capsys.readouterr().out
    asking.on("GET /api/v1/requests?number=REQ-7", (200, {"results": [], "next": None}))
    if name.upper() == "REQ-7":
        assert main(["requests", name, "--json"]) == 1
        assert json.loads(capsys.readouterr().err)["error"] == "not_found"


WISH = ["request", "--service", "orders", "--environment", "prod", "--team", "reporting", "--name", "Nightly"]
WISH += ["--consumer", "b", "--purpose", "Reports.", "--scope", "orders:read"]


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        (["--every-days", "30", "--overlap", "6h"], {"every_days": 30, "overlap": "6h"}),
        (["--every-days", "30"], {"every_days": 30}),
        (["--overlap", "when-idle"], {"overlap": "when-idle"}),
        (["--every-days", "0"], {"every_days": 0}),  # what is out of range is for Keystead to refuse, not to forget
        ([], None),
    ],
)
def test_a_request_says_how_secrets_are_replaced_or_leaves_it_to_the_usual_plan(asking, words, plan):
    asking.on("POST /api/v1/requests", (201, {"number": "REQ-1", "state": "pending"}))
    assert main([*WISH, *words]) == 0
    assert asking.asked[-1].json.get("rotation") == plan


def test_a_request_may_be_for_a_credential_a_signing_key_or_less_than_all_the_use(asking, tmp_path):
    asking.on("POST /api/v1/requests", (201, {"number": "REQ-1", "state": "pending"}))
    pem = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"
    (tmp_path / "public.pem").write_text(pem)
    for words, wish in (
        ([], {"kind": "bearer", "public_key": "", "verifies_service": "", "verifies_environment": "", "limits": {}}),
        (["--verifies", "orders"], {"verifies_service": "orders", "verifies_environment": "prod"}),
        (["--kind", "hmac-sha256"], {"kind": "hmac-sha256"}),
        (["--public-key", str(tmp_path / "public.pem")], {"kind": "ed25519", "public_key": pem}),
        (["--per-minute", "60", "--per-day", "0"], {"limits": {"requests_per_minute": 60, "requests_per_day": 0}}),
    ):
        assert main([*WISH, *words]) == 0
        assert wish.items() <= asking.asked[-1].json.items()


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN PRIVATE KEY-----\nMC4C\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n",
        b'{"kty": "OKP", "crv": "Ed25519", "x": "11qY", "d" : "nWGx"}',
        b"MFECAQEwBQYDK2VwBCIEIA==\n",
        b"AGE-SECRET-KEY-1QQPQ\n",
        KEY.encode(),
        b"\xff\xfe",
    ],
)
def test_what_is_no_public_key_does_not_leave_the_machine(asking, tmp_path, capsys, content):
    (tmp_path / "key.pem").write_bytes(content)
    for name in ("key.pem", "missing"):
        with pytest.raises(SystemExit) as ended:
            main([*WISH, "--public-key", str(tmp_path / name)])
        assert ended.value.code == 2
    said = capsys.readouterr()
    assert str(tmp_path / "key.pem") in said.err
    assert content.decode(errors="replace").splitlines()[0] not in said.out + said.err
    assert not asking.asked


@pytest.mark.parametrize("words", [["--overlap", "2h"], ["--every-days", "monthly"]])
def test_a_plan_that_nobody_offers_is_not_understood_and_asks_nothing(asking, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*WISH, *words])
    assert ended.value.code == 2
    assert not asking.asked
    assert words[1] in capsys.readouterr().err


def test_a_key_shows_how_its_secrets_are_replaced(asking, capsys):
    plan = {"overlap": "6h", "every_days": 30}
    asking.on(f"GET /api/v1/keys/{DETAIL['id']}", (200, {**DETAIL, "rotation": plan}))
    assert main(["show", "KEY-7"]) == 0
    assert "overlap 6h, every days 30" in capsys.readouterr().out


def test_a_claimed_secret_goes_to_a_private_file_or_to_stdout_alone(asking, monkeypatch, capsys, tmp_path):
    give(monkeypatch, KEY)
    assert main(["claim", "KEY-7", "--out", str(tmp_path / "key")]) == 0
    assert (tmp_path / "key").read_text() == KEY + "\n"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    told = capsys.readouterr()
    assert "/keys/7/claim/" in told.err
    assert KEY not in told.out + told.err
    give(monkeypatch, KEY)
    assert main(["claim", "KEY-7", "--out", str(tmp_path / "key")]) == 1  # never over anything
    give(monkeypatch, KEY)
    assert main(["claim", "KEY-7"]) == 0
    assert KEY in capsys.readouterr().out
    give(monkeypatch, CREDENTIAL)
    assert main(["claim", "KEY-7"]) == 1
    assert CREDENTIAL not in capsys.readouterr().out


def test_rotate_takes_one_step_and_tells_no_secret(keystead, monkeypatch, capsys, tmp_path):
    rotation = FakeRotation(keystead)
    monkeypatch.setitem(RotatingCredential.__init__.__kwdefaults__, "settling", 0)
    rotation.prepare("now")
    give(monkeypatch, rotation.first)
    assert main(["rotate", "--url", keystead.url, "--store", str(tmp_path / "key"), "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told)["rotated"] is True
    assert rotation.newest not in told
    assert main(["rotate", "--url", keystead.url, "--store", str(tmp_path / "key"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "rotated": False, "kid": rotation.newest.split("_")[2], "check_after_seconds": 60
    }  # fmt: skip


def test_scan_tells_findings_by_its_exit_code_and_asks_by_kid_only(asking, tmp_path, capsys):
    assert main(["scan", str(tmp_path)]) == 0
    (tmp_path / "leak.env").write_text(f"KEY={KEY}\n")
    assert main(["scan", str(tmp_path)]) == 1
    assert main(["scan", str(tmp_path), "--ask", "--json"]) == 1
    told = capsys.readouterr().out
    assert KEY not in told
    assert json.loads(told[told.index("[") :])[0]["state"] == "active"
    assert all(KEY not in f"{each.path}{each.body!r}{each.headers}" for each in asking.asked)
