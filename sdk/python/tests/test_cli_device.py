"""Signing the command line in as a person: what is printed, waited for, stored and ended."""

import contextlib
import json
import stat
from urllib.parse import parse_qs

import pytest
from fake_keystead import problem, vectors
from keystead_client import MalformedKey, find_keys, parse
from keystead_client.cli import device, signing_in
from keystead_client.cli.main import main
from keystead_client.key_text import is_token

TOKEN = vectors("key_text")["tokens"][0]["text"]
OTHER = vectors("key_text")["tokens"][1]["text"]
DEVICE_CODE = "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eSAB"
BEGUN = {
    "device_code": DEVICE_CODE, "user_code": "BCDF-GHJK", "verification_uri": "https://keys.example.com/device/\x1b[31m",
    "verification_uri_complete": "https://keys.example.com/device/?user_code=BCDF-GHJK", "expires_in": 600, "interval": 5,
}  # fmt: skip
ME = {"kind": "person", "id": "1", "name": "Alice", "roles": [], "teams": {"reporting": ["lead"]}, "scopes": [],
      "environment": None, "step_ups": []}  # fmt: skip


def refusing(error, status=400):
    return status, {"error": error}


@pytest.fixture
def waits(keystead, monkeypatch, tmp_path):
    """A machine that waits without losing time: how long it would have waited each time."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("KEYSTEAD_URL", "KEYSTEAD_API_KEY", "KEYSTEAD_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    waited = []
    monkeypatch.setattr(signing_in, "sleep", waited.append)
    monkeypatch.setattr(signing_in, "monotonic", lambda: float(sum(waited)))
    keystead.on("POST /oauth2/device_authorization", (200, BEGUN))
    keystead.on("POST /oauth2/revoke", (200, b""))
    keystead.on("GET /api/v1/me", (200, ME))
    return waited


def answering(keystead, *answers):
    """Let the door of tokens give these answers, the last one again and again."""
    left = list(answers)
    keystead.doors["POST /oauth2/token"] = lambda asked: left.pop(0) if len(left) > 1 else left[0]


def asked_of(keystead, door):
    return [parse_qs(each.body.decode()) for each in keystead.asked if each.path == f"/oauth2/{door}"]


def test_a_person_signs_in_works_and_signs_out(keystead, waits, tmp_path, capsys):
    answering(keystead, refusing("authorization_pending"), (200, {"access_token": TOKEN, "token_type": "Bearer"}))
    assert main(["login", "--device", "--url", keystead.url, "--name", "alices laptop"]) == 0
    told = capsys.readouterr()
    assert "BCDF-GHJK" in told.err
    assert "https://keys.example.com/device/" in told.err
    assert "\x1b" not in told.err
    for secret in (TOKEN, DEVICE_CODE):
        assert secret not in told.out + told.err
    assert asked_of(keystead, "device_authorization") == [
        {"client_id": ["keystead-cli"], "device_name": ["alices laptop"]}
    ]
    assert asked_of(keystead, "token")[0]["device_code"] == [DEVICE_CODE]
    assert waits == [5, 5]
    file = tmp_path / "keystead" / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["whoami"]) == 0
    assert "Alice" in capsys.readouterr().out
    assert keystead.asked[-1].bearer == TOKEN
    assert main(["logout"]) == 0
    assert asked_of(keystead, "revoke") == [{"client_id": ["keystead-cli"], "token": [TOKEN]}]
    assert not file.exists()
    assert main(["whoami"]) == 2


def test_it_waits_as_long_as_it_is_told(keystead, waits):
    answering(
        keystead,
        refusing("slow_down"),
        refusing("authorization_pending"),
        refusing("slow_down"),
        (502, b"a proxy"),
        (200, {"access_token": TOKEN}),
    )
    assert main(["login", "--device", "--url", keystead.url]) == 0
    assert waits == [5, 10, 10, 15, 30]


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant", "invalid_client"])
def test_a_no_is_final_and_nothing_is_stored(keystead, waits, tmp_path, capsys, error):
    answering(keystead, refusing(error))
    assert main(["login", "--device", "--url", keystead.url, "--json"]) == 3
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"] == error
    assert not (tmp_path / "keystead" / "credentials.json").exists()


def test_it_gives_up_when_the_time_is_over(keystead, waits, capsys):
    keystead.on("POST /oauth2/device_authorization", (200, BEGUN | {"interval": 150}))
    answering(keystead, refusing("authorization_pending"))
    assert main(["login", "--device", "--url", keystead.url]) == 3
    assert waits == [150] * 4
    assert "Begin again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("begun", "code"), [((200, {}), 1), ((200, []), 1), ((200, b"<html>"), 4), ((404, b"x"), 4), (problem("busy_retry", 503), 4)]
)  # fmt: skip
def test_what_is_no_keystead_is_told_and_never_obeyed(keystead, waits, begun, code):
    keystead.on("POST /oauth2/device_authorization", begun)
    assert main(["login", "--device", "--url", keystead.url]) in (code, 4)
    assert not asked_of(keystead, "token")


@pytest.mark.parametrize("token", ["", "x", None, "ks_prod_" + TOKEN[10:], TOKEN[:-1] + "_"])
def test_what_is_no_token_is_not_stored(keystead, waits, tmp_path, token):
    answering(keystead, (200, {"access_token": token}))
    assert main(["login", "--device", "--url", keystead.url]) == 4
    assert not (tmp_path / "keystead").exists()


def test_a_new_sign_in_ends_the_one_before_and_a_lost_server_does_not_keep_it(keystead, waits, tmp_path, capsys):
    answering(keystead, (200, {"access_token": TOKEN}), (200, {"access_token": OTHER}))
    for _ in range(2):
        assert main(["login", "--device", "--url", keystead.url]) == 0
    assert [each["token"] for each in asked_of(keystead, "revoke")] == [[TOKEN]]
    keystead.on("POST /oauth2/revoke", problem("busy_retry", 503))
    assert main(["logout"]) == 4
    assert not (tmp_path / "keystead" / "credentials.json").exists()
    assert "under your sessions" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["nobody says who", "no place to keep it", "somebody loses patience"])
def test_a_token_that_cannot_be_kept_is_ended(keystead, waits, monkeypatch, tmp_path, what):
    answering(keystead, (200, {"access_token": TOKEN}))
    if what == "nobody says who":
        keystead.on("GET /api/v1/me", problem("busy_retry", 503))
    elif what == "no place to keep it":
        (tmp_path / "keystead").write_text("a file in the place of the folder")
    else:
        monkeypatch.setattr(signing_in, "store_folder", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with contextlib.suppress(OSError, KeyboardInterrupt):
        assert main(["login", "--device", "--url", keystead.url]) > 0
    assert [each["token"] for each in asked_of(keystead, "revoke")] == [[TOKEN]]


def test_what_needs_presence_names_the_page(keystead, waits, capsys):
    answering(keystead, (200, {"access_token": TOKEN}))
    assert main(["login", "--device", "--url", keystead.url]) == 0
    key = {"id": "0199a2f0-0000-7000-8000-00000000000a", "number": "KEY-7", "versions": []}
    keystead.on("GET /api/v1/keys?number=KEY-7", (200, {"results": [key], "next": None}))
    keystead.on(f"GET /api/v1/keys/{key['id']}", (200, key))
    keystead.on(f"POST /api/v1/keys/{key['id']}/revoke", problem("step_up_required", 403))
    assert main(["revoke", "KEY-7", "--reason", "superseded"]) == 3
    assert f"{keystead.url}/keys/7/revoke/" in capsys.readouterr().err
    keystead.on("GET /api/v1/me", problem("invalid_token", 401))
    assert main(["me"]) == 3
    assert "keystead login --device" in capsys.readouterr().err
    assert main(["verify"]) == 1
    assert "programs_only" in capsys.readouterr().err


def test_a_token_is_found_where_it_lies_and_refused_where_it_has_no_place(keystead, waits, tmp_path, capsys):
    assert is_token(TOKEN)
    assert not is_token(TOKEN[:-1])
    with pytest.raises(MalformedKey):
        parse(TOKEN)
    assert [each.parsed.prefix for each in find_keys(f"x {TOKEN}")] == [TOKEN[: len("ks_person_") + 14]]
    lying = tmp_path / "notes.txt"
    lying.write_text(f"my token is {TOKEN}\n")
    assert main(["scan", str(lying)]) == 1
    assert main(["show", TOKEN]) == 2
    told = capsys.readouterr()
    assert TOKEN not in told.out + told.err
    assert TOKEN[: len("ks_person_") + 14] in told.out


def test_what_was_begun_does_not_show_its_code():
    begun = device.Begun(
        page="p", page_with_code="p", user_code="u", device_code=device.Secret("hidden"), lifetime=1, interval=1
    )
    assert "hidden" not in repr(begun)
