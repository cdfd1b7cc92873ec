"""A service asks whether what it received was signed: true once, and never again, nor with anything of it changed."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.lifecycle.revocation import revoke_key
from keys.models import UsageCount
from keys.monitoring.tally_files import add_files
from keys.nonces import spending
from keys.nonces.in_database import NoncesInDatabase
from keys.nonces.in_force import StoreInForce
from keys.nonces.in_valkey import NoncesInValkey
from keys.nonces.members import NonceStoreUnavailable
from keys.nonces.spending import Nonces
from keys.states import RevocationReason
from keys.verification import signed
from tests.keys.verification.following import behind_the_back
from tests.people import acting, issued, verifying_credential
from tests.portal.verify.knocking import Door
from tests.signing import Call, by_hmac, by_pair, digest_of
from tests.signing_keys import Signer, allow_signing, settle_nonces, signer_of

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")
BODY = b'{"amount":"12.50"}'
Question = dict[str, Any]


@pytest.fixture
def kind():
    return "hmac-sha256"


@pytest.fixture
def signer(world, kind):
    allow_signing(world)
    return signer_of(world, kind)


of_each_kind = pytest.mark.parametrize("kind", ["hmac-sha256", "ed25519"])


@pytest.fixture
def door(tmp_path, world, signer):
    return Door(tmp_path, verifying_credential(world).reveal())


def now() -> int:
    return int(time.time())


def received(signer: Signer, *, created: int | None = None, nonce: str = "", **parts: Any) -> Question:
    """What a service passes on: the request as it came, and its own digest of the body."""
    call = Call(**{"method": "POST", "path": "/v1/withdrawals", "query": "a=1&b=2", "body": BODY} | parts)
    return {
        "method": call.method,
        "authority": call.authority,
        "path": call.path,
        "query": call.query,
        "headers": signer.headers(call, created=now() if created is None else created, nonce=nonce),
        "body_digest": digest_of(call.body) if call.body else None,
    }


def told(door: Door, question: Question) -> str:
    answer = door.ask("/v1/verify-signature", question)
    assert answer.status == 200, answer.body
    return "valid" if answer.json["valid"] else answer.json["reason"]


@of_each_kind
def test_a_signed_request_is_valid_once(door, signer, world):
    question = received(signer)
    answer = door.ask("/v1/verify-signature", question)
    assert (answer.status, answer.json["valid"], answer.json["kind"]) == (200, True, signer.key.kind)
    assert (answer.json["kid"], answer.json["scopes"]) == (signer.version.kid, ["orders:read"])
    assert answer.headers["Cache-Control"] == "no-store"
    again = door.ask("/v1/verify-signature", question)
    assert again.json == {"valid": False, "reason": "replay", "server_time": again.json["server_time"]}
    assert abs(again.json["server_time"] - time.time()) < 3
    assert told(door, received(signer, method="GET", body=b"")) == "valid"


CHANGES: dict[str, Callable[[Question], object]] = {
    "method": lambda question: question.update(method="PUT"),
    "path": lambda question: question.update(path="/v1/withdrawals/"),
    "query order": lambda question: question.update(query="b=2&a=1"),
    "host": lambda question: question.update(authority="api.example.org"),
    "scheme that changes the port": lambda question: question.update(authority="api.example.com:443", scheme="http"),
    "body byte": lambda question: question.update(body_digest=digest_of(b'{"amount":"12.51"}')),
    "body and its header": lambda question: (
        question.update(body_digest=digest_of(b"x")),
        question["headers"].update({"content-digest": digest_of(b"x")}),
    ),
    "body gone": lambda question: question.update(body_digest=None),
    "content type": lambda question: question["headers"].update({"content-type": "text/plain"}),
    "nonce": lambda question: _replace(question, 'nonce="', 'nonce="x'),
    "keyid": lambda question: _replace(question, f'keyid="{(kid := _kid_in(question))}', f'keyid="{kid[::-1]}'),
    "algorithm": lambda question: _replace(
        question,
        *(
            ("hmac-sha256", "ed25519")
            if "hmac" in question["headers"]["signature-input"]
            else ("ed25519", "hmac-sha256")
        ),
    ),
    "created": lambda question: _replace(question, f"created={now() // 10}", f"created={now() // 10 - 1}"),
    "spelling of the signature": lambda question: question["headers"].update(
        signature=question["headers"]["signature"].rstrip("=:") + ":"
    ),
    "header twice": lambda question: question["headers"].update(signature=[question["headers"]["signature"]] * 2),
    "headers joined": lambda question: question["headers"].update(
        signature=", ".join([question["headers"]["signature"]] * 2)
    ),
}


def _kid_in(question: Question) -> str:
    return str(question["headers"]["signature-input"].partition('keyid="')[2].partition('"')[0])


def _respell(question: Question, spell: Callable[[str], str]) -> None:
    """Write the same signature in other characters."""
    text = question["headers"]["signature"].removeprefix("keystead=:").removesuffix(":")
    question["headers"]["signature"] = f"keystead=:{spell(text)}:"


def _last_bits(text: str) -> str:
    """The bits behind the last byte, which a lenient decoder drops."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    return body[:-1] + alphabet[alphabet.index(body[-1]) + 1] + "=" * (len(text) - len(body))


# Each decodes to the same signature somewhere, or reads as the same header.
SPELLINGS: dict[str, Callable[[Question], None]] = {
    "no padding": lambda question: _respell(question, lambda text: text.rstrip("=")),
    "more padding": lambda question: _respell(question, lambda text: text + "="),
    "the other alphabet": lambda question: _respell(question, lambda text: "-" + text[1:].replace("/", "_")),
    "bits behind the last byte": lambda question: _respell(question, _last_bits),
    "a blank inside": lambda question: _respell(question, lambda text: text[:8] + " " + text[8:]),
    "a line feed inside": lambda question: _respell(question, lambda text: text[:8] + "\n" + text[8:]),
    "percent-encoded": lambda question: _respell(question, lambda text: text.replace("=", "%3D")),
    "a parameter of the signature": lambda question: question["headers"].update(
        signature=question["headers"]["signature"] + ";a=1"
    ),
    "a blank after a semicolon": lambda question: _replace(question, ";keyid", "; keyid"),
    "parameters in another order": lambda question: _swap(question, ";alg=", ";nonce="),
    "a nonce with padding": lambda question: _replace(question, '";tag=', '==";tag='),
    "another label": lambda question: question["headers"].update(
        {
            name: question["headers"][name].replace("keystead=", "keystead2=")
            for name in ("signature-input", "signature")
        }
    ),
}


def _swap(question: Question, one: str, other: str) -> None:
    """Let two neighbours change places."""
    text = question["headers"]["signature-input"]
    before, _, rest = text.partition(one)
    first, _, rest = rest.partition(other)
    second, _, after = rest.partition(";tag=")
    question["headers"]["signature-input"] = f"{before}{other}{second}{one}{first};tag={after}"


@of_each_kind
def test_another_spelling_of_a_captured_request_is_no_other_request(door, signer):
    for name, respell in SPELLINGS.items():
        question = received(signer)
        respelled = json.loads(json.dumps(question))
        respell(respelled)
        assert respelled != question, name
        assert told(door, question) == "valid"
        answer = door.ask("/v1/verify-signature", respelled)
        assert (answer.status, answer.json["valid"]) == (200, False), name
        assert answer.json["reason"] in {"signature_malformed", "signature_invalid", "replay"}, name


def test_a_captured_request_names_no_other_key(door, signer, world):
    """Nor one of the same kind that works: whose signature it is stands in what is signed."""
    other = signer_of(world, signer.key.kind, name="Another")
    door.feed.tick()
    question = received(signer)
    _replace(question, f'keyid="{signer.version.kid}"', f'keyid="{other.version.kid}"')
    assert told(door, question) == "signature_invalid"
    assert told(door, received(other)) == "valid"


def _replace(question: Question, old: str, new: str, *, cut: int = 0) -> None:
    before, _, after = question["headers"]["signature-input"].partition(old)
    question["headers"]["signature-input"] = before + new + after[cut:]


@of_each_kind
def test_with_anything_changed_it_is_refused_whether_it_was_used_or_not(door, signer):
    for name, change in CHANGES.items():
        for captured in (False, True):
            question = received(signer)
            changed = json.loads(json.dumps(question))
            change(changed)
            assert changed != question, name
            if captured:
                assert told(door, question) == "valid"
            answer = door.ask("/v1/verify-signature", changed)
            assert (answer.status, answer.json["valid"]) == (200, False), name
            assert answer.json["reason"] in {"signature_invalid", "signature_malformed"}, name
            assert ("fault" in answer.json) == (answer.json["reason"] == "signature_malformed"), name


@of_each_kind
def test_what_cannot_be_seen_from_outside_is_one_answer_for_strangers(door, signer, world):
    other = signer_of(world, signer.key.kind, name="Another")
    nobody = Signer(key=signer.key, version=other.version, sign=signer.sign)
    invented = received(signer)
    _replace(invented, 'keyid="', 'keyid="Zz', cut=2)
    answers = [door.ask("/v1/verify-signature", each) for each in (received(nobody), invented)]
    assert [(each.status, each.headers, each.json["reason"]) for each in answers] == [
        (200, answers[0].headers, "signature_invalid")
    ] * 2
    assert [set(each.json) for each in answers] == [{"valid", "reason", "server_time"}] * 2


@of_each_kind
def test_a_kind_signs_in_its_own_way_only(door, signer, world):
    call = Call(path="/v1/orders")
    pair = Ed25519PrivateKey.generate()
    for algorithm, sign in (
        ("hmac-sha256", by_hmac(signer.version.public_key or "x")),
        ("hmac-sha256", by_hmac("")),
        ("ed25519", by_pair(pair)),
    ):
        question = received(signer, method="GET", path=call.path, body=b"")
        question["headers"] = Call(path=call.path, query=question["query"]).signed(
            sign, kid=signer.version.kid, algorithm=algorithm, created=now()
        )
        assert told(door, question) == "signature_invalid"


def test_time_is_told_so_that_a_client_can_set_its_clock(door, signer):
    for created, reason in ((now() - 61, "signature_expired"), (now() + 20, "signature_in_future")):
        answer = door.ask("/v1/verify-signature", received(signer, created=created))
        assert (answer.json["reason"], abs(answer.json["server_time"] - now()) <= 2) == (reason, True)
    assert told(door, received(signer, created=now() - 50)) == "valid"
    assert told(door, received(signer, created=now() + 3)) == "valid"


def test_the_policy_says_how_old_a_signature_may_be(world, tmp_path, signer):
    allow_signing(world, signature_window_seconds=120)
    credential = verifying_credential(world).reveal()
    door = Door(tmp_path / "one", credential)
    assert told(door, received(signer, created=now() - 100)) == "valid"
    allow_signing(world, signature_window_seconds=30)
    assert told(Door(tmp_path / "two", credential), received(signer, created=now() - 40)) == "signature_expired"
    door.feed.tick()  # and a process that was there before hears of it
    assert told(door, received(signer, created=now() - 40)) == "signature_expired"


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


def test_a_key_of_another_environment_is_none_of_the_callers(world, tmp_path, signer):
    other = Door(tmp_path / "test", verifying_credential(world, environment="test").reveal())
    assert told(other, received(signer)) == "wrong_environment"


def test_a_revoked_key_signs_no_more(door, signer, world):
    revoke_key(signer.key, actor=acting(world.responder, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    door.feed.tick()
    assert told(door, received(signer)) == "compromised"


def test_a_row_changed_by_sql_does_not_verify(door, signer, world, superuser):
    change = "state = 'active', retire_at = now() + interval '1 year'"
    behind_the_back(superuser, f"UPDATE keys_keyversion SET {change} WHERE kid = %s", signer.version.kid)
    door.feed.tick()
    assert told(door, received(signer)) == "integrity_failure"


@of_each_kind
def test_a_planted_public_key_verifies_nothing(door, signer, superuser, world):
    pair = Ed25519PrivateKey.generate()
    planted = pair.public_key().public_bytes_raw()
    text = base64.urlsafe_b64encode(planted).rstrip(b"=").decode()
    behind_the_back(
        superuser,
        "UPDATE keys_keyversion SET public_key = %s, sealed_secret = '' WHERE kid = %s",
        text,
        signer.version.kid,
    )
    door.feed.tick()
    forged = Signer(key=signer.key, version=signer.version, sign=by_pair(pair))
    assert told(door, received(forged)) != "valid"


def test_the_secret_of_a_key_that_signs_is_no_bearer_token(door, signer):
    if signer.secret:
        assert door.verify(signer.secret) == {"valid": False, "reason": "signature_required"}


def test_a_key_that_signs_is_held_to_its_limits_too(tmp_path, world, kind):
    allow_signing(world)
    limited = signer_of(world, kind, limits={"requests_per_minute": 2})
    door = Door(tmp_path, verifying_credential(world).reveal())
    assert [told(door, received(limited)) for _ in range(3)] == ["valid", "valid", "rate_limit"]


def test_a_key_that_signs_is_held_to_its_limits_where_nothing_is_held_in_memory(tmp_path, world, kind, superuser):
    allow_signing(world)
    limited = signer_of(world, kind, limits={"requests_per_minute": 1})
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 0 WHERE tag = 'prod'")
    door = Door(tmp_path, verifying_credential(world).reveal())
    request = received(limited)
    assert [told(door, each) for each in (request, request, received(limited))] == ["valid", "replay", "rate_limit"]


def test_uses_are_counted(door, signer, tmp_path):
    question = received(signer)
    assert [told(door, question), told(door, question)] == ["valid", "replay"]
    door.tallies.close()
    add_files(tmp_path)
    counts = dict(UsageCount.objects.filter(version=signer.version).values_list("outcome", "count"))
    assert counts == {"valid": 1, "replay": 1}


WRONG = [
    ({"method": ""}, {"method": "required"}),
    ({"method": "get it"}, {"method": "not_a_method"}),
    ({"authority": None}, {"authority": "not_text"}),
    ({"path": 1}, {"path": "not_text"}),
    ({"path": "/" + "a" * 20_000}, {"path": "too_long"}),
    ({"scheme": "ftp"}, {"scheme": "not_a_scheme"}),
    ({"headers": None}, {"headers": "required"}),
    ({"headers": []}, {"headers": "not_an_object"}),
    ({"headers": {"authorization": "x"}}, {"headers.authorization": "unknown_field"}),
    ({"headers": {"signature": 1}}, {"headers.signature": "not_text"}),
    ({"headers": {"signature": "x" * 5000}}, {"headers.signature": "too_long"}),
    ({"body_digest": "sha-256=:AAAA:"}, {"body_digest": "not_a_digest"}),
    ({"body_digest": {}}, {"body_digest": "not_a_digest"}),
    ({"body": "x"}, {"body": "unknown_field"}),
]


def test_a_question_that_cannot_be_read_is_refused_by_field(door, signer):
    for change, wrong in WRONG:
        answer = door.ask("/v1/verify-signature", received(signer) | change)
        assert (answer.status, answer.json["code"]) == (422, "invalid_input")
        assert {each["field"]: each["code"] for each in answer.json["errors"]} == wrong


def test_only_a_service_may_ask(door, signer, world):
    question = received(signer)
    assert door.ask("/v1/verify-signature", question, HTTP_AUTHORIZATION="").status == 401
    bearer = issued(world, name="Reads")[2].reveal()
    assert door.ask("/v1/verify-signature", question, HTTP_AUTHORIZATION=f"Bearer {bearer}").status == 401
    assert door.ask("/v1/verify-signature", question, method="GET").status == 405
    assert door.ask("/v1/verify-signature", question, QUERY_STRING="a=1").status == 400
    assert told(door, question) == "valid"
