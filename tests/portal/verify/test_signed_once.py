"""A signature is accepted once: on another process, after a restart and a flush, and when the store of nonces is full."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys

import pytest

from keys.lifecycle.revocation import revoke_key
from keys.nonces import spending
from keys.nonces.in_database import NoncesInDatabase
from keys.nonces.in_force import StoreInForce
from keys.nonces.in_valkey import NoncesInValkey
from keys.nonces.members import NonceStoreUnavailable
from keys.nonces.spending import Nonces
from keys.states import RevocationReason
from keys.verification import signed
from tests.keys.verification.following import behind_the_back
from tests.people import acting
from tests.portal.verify.knocking import Door
from tests.portal.verify.signed_questions import now, received, told
from tests.signing_keys import settle_nonces

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")


def test_replay_meets_it_on_another_process_and_after_a_restart(door, signer, world, tmp_path):
    question = received(signer)
    assert told(door, question) == "valid"
    credential = door.credential
    spending.nonces.cache_clear()  # as a process that begins
    assert told(Door(tmp_path / "other", credential), question) == "replay"
    program = (
        "import json, sys, django; django.setup();"
        "from pathlib import Path; from tests.portal.verify.knocking import Door;"
        f"door = Door(Path({str(tmp_path / 'third')!r}), {credential!r});"
        "print(door.ask('/v1/verify-signature', json.loads(sys.stdin.read())).json['reason'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.strip() == "replay", run.stderr[-2000:]


def test_after_a_flush_nothing_is_accepted_that_may_have_been_before(door, signer, settled_nonces):
    question = received(signer)
    assert told(door, question) == "valid"
    settled_nonces.flushdb()
    for each in (question, received(signer)):
        answer = door.ask("/v1/verify-signature", each)
        assert (answer.status, answer.json["code"]) == (503, "nonce_store_young")
        assert 1 <= int(answer.headers["Retry-After"]) <= 15
    settle_nonces(settled_nonces)
    assert told(door, received(signer)) == "valid"


def test_a_store_that_is_full_refuses_and_forgets_nothing(door, signer, settled_nonces, monkeypatch):
    small = NoncesInValkey(os.environ["REDIS_URL"], capacity=2)
    monkeypatch.setattr(signed, "nonces", lambda: Nonces(small, NoncesInDatabase(), StoreInForce()))
    accepted = [received(signer, created=now()) for _ in range(2)]
    assert [told(door, each) for each in accepted] == ["valid", "valid"]
    answer = door.ask("/v1/verify-signature", received(signer, created=now()))
    assert (answer.status, answer.json["code"]) == (503, "nonce_store_full")
    assert [told(door, each) for each in accepted] == ["replay", "replay"]


def test_a_full_store_says_when_to_try_again(door, signer, monkeypatch):
    def full(*_args: object, **_facts: object) -> bool:
        raise NonceStoreUnavailable("nonce_store_full", retry_after=32)

    monkeypatch.setattr(spending.Nonces, "spend", full)
    answer = door.ask("/v1/verify-signature", received(signer))
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (503, "nonce_store_full", "32")


def test_what_is_refused_for_something_else_spends_no_nonce(door, signer):
    nonce = secrets.token_urlsafe(16)
    question = received(signer, nonce=nonce)
    assert told(door, question | {"scopes": ["orders:write"]}) == "scope"
    assert told(door, question | {"scopes": ["orders:read"]}) == "valid"


@pytest.mark.parametrize("has_memory", [True, False])
def test_what_was_stopped_while_the_store_was_asked_is_not_let_in(
    door, world, signer, superuser, monkeypatch, has_memory
):
    if not has_memory:
        behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 0 WHERE tag = 'prod'")
        door.feed.tick()
    spend = spending.Nonces.spend

    def slowly(*args: object, **facts: object) -> bool:
        revoke_key(signer.key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
        if has_memory:
            door.feed._look()
        return spend(*args, **facts)

    monkeypatch.setattr(spending.Nonces, "spend", slowly)
    assert told(door, received(signer)) == "compromised"
