"""The small client of the page for authors of clients runs as it is written, and keeps the rules of that page."""

from __future__ import annotations

import importlib.util
import json
import threading
from contextlib import contextmanager

import pytest
from cryptography.exceptions import InvalidSignature

from keys.lifecycle.revocation import reinstate_key, revoke_key, suspend_key
from keys.states import RevocationReason, SuspensionReason
from keys.verification.watching.receipts import stop_with_receipt
from tests.people import acting, issued, verifying_credential
from tests.sdk.cookbook import until, write_files

HERE = "192.0.2.7"


@pytest.fixture
def module(tmp_path):
    [path] = write_files("../own-client.md", tmp_path, {})
    spec = importlib.util.spec_from_file_location("own_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(module, portal_server, world):
    """One that holds its first lease, and whose owner renews when a test says so."""
    issued(world, name="There from the beginning")
    client = module.OwnClient(portal_server.url, verifying_credential(world).reveal(), "own")
    client.renew()
    return client


@contextmanager
def renewing(client):
    """Renew all the time, as its owner would each second."""
    over = threading.Event()

    def work():
        while not over.wait(0.02):
            client.renew()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_it_says_what_keystead_says(module, client, portal_server, world):
    def says(secret, scope="orders:read"):
        return client.verify(secret.reveal(), scope, HERE)

    told = {
        "valid": issued(world)[2],
        "network": issued(world, name="Elsewhere", networks=("10.0.0.0/8",))[2],
        "ask the door": issued(world, name="Limited", limits={"requests_per_minute": 5})[2],
        "unknown": issued(world, name="Test", environment="test")[2],
    }
    client.renew()
    assert {word: says(secret) for word, secret in told.items()} == {word: word for word in told}
    assert says(told["valid"], "orders:write") == "scope"
    another = module.OwnClient(portal_server.url, client.credential, "begun later")
    assert says(told["valid"]) == "valid"
    assert another.verify(told["valid"].reveal(), "orders:read", HERE) == "stale", "not before its first lease"
    another.renew()
    assert another.verify(told["valid"].reveal(), "orders:read", HERE) == "valid"
    client.offset += 100 * 366 * 86400
    assert says(told["valid"]) == "expired"


def test_a_stop_is_there_when_it_is_answered_and_the_receipt_names_it(client, world):
    key, _, secret = issued(world)
    with renewing(client):
        until(lambda: client.verify(secret.reveal(), "orders:read", HERE) == "valid")
        suspend_key(key, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
        [word] = [each for each in stop_with_receipt(key, action="suspended").verifiers if each["name"] == "own"]
        assert client.verify(secret.reveal(), "orders:read", HERE) == "unknown"
        assert word["how"] == "acknowledged"
        reinstate_key(key, actor=acting(world.admin, "reinstate"))
        until(lambda: client.verify(secret.reveal(), "orders:read", HERE) == "valid")
        revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
        stop_with_receipt(key, action="revoked")
        assert client.verify(secret.reveal(), "orders:read", HERE) == "unknown"


def test_it_believes_only_what_is_signed_and_fresh(module, client, world, monkeypatch):
    secret = issued(world)[2].reveal()
    client.renew()
    lease_until, ask = client.until, client.ask

    def forging(method, path, body=None):
        answer = ask(method, path, body)
        return json.dumps({**json.loads(answer), "lease_ms": 60_000}) if path.endswith("/lease") else answer

    client.ask = forging
    with pytest.raises(InvalidSignature):
        client.renew()
    assert client.until == lease_until
    client.ask = ask
    client.keys = {}  # as when Keystead has begun to sign with another key
    client.renew()
    assert client.verify(secret, "orders:read", HERE) == "valid"
    later = module.clock() + 60
    monkeypatch.setattr(module, "clock", lambda: later)
    assert client.verify(secret, "orders:read", HERE) == "stale"
    client.ask("DELETE", f"/v1/verifiers/{client.verifier}")
    client.renew()  # 404: it begins anew, and believes nothing before its next lease
    assert client.verify(secret, "orders:read", HERE) == "stale"
