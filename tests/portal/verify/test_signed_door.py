"""A service asks whether what it received was signed, by which key, and whether that key may do it."""

from __future__ import annotations

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.lifecycle.revocation import revoke_key
from keys.monitoring.tally_files import add_files
from keys.states import RevocationReason
from tests.keys.verification.following import behind_the_back
from tests.people import acting, issued, verifying_credential
from tests.portal.verify.knocking import Door
from tests.portal.verify.signed_questions import WRONG, alter, now, of_each_kind, received, told
from tests.signing import Call, by_hmac, by_pair
from tests.signing_keys import Signer, allow_signing, signer_of
from tests.uses import uses_of

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")


@of_each_kind
def test_a_signed_request_is_valid_once(door, signer, world):
    question = received(signer)
    answer = door.ask("/v1/verify-signature", question)
    assert (answer.status, answer.json["valid"], answer.json["kind"]) == (200, True, signer.key.kind)
    assert (answer.json["kid"], answer.json["scopes"]) == (signer.version.kid, ["orders:read"])
    assert answer.headers["Cache-Control"] == "no-store"
    again = door.ask("/v1/verify-signature", question)
    assert again.json == {"valid": False, "reason": "replay", "server_time": again.json["server_time"]}
    assert abs(again.json["server_time"] - time.time()) < 60
    assert told(door, received(signer, method="GET", body=b"")) == "valid"


@of_each_kind
def test_what_cannot_be_seen_from_outside_is_one_answer_for_strangers(door, signer, world):
    other = signer_of(world, signer.key.kind, name="Another")
    nobody = Signer(key=signer.key, version=other.version, sign=signer.sign)
    invented = received(signer)
    alter(invented, signer.version.kid, "z" * len(signer.version.kid))
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
        assert (answer.json["reason"], abs(answer.json["server_time"] - now()) <= 18) == (reason, True)
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


@pytest.mark.usefixtures("one_day")
def test_a_key_that_signs_is_held_to_its_limits_too(tmp_path, world, kind):
    allow_signing(world)
    limited = signer_of(world, kind, limits={"requests_per_day": 2})
    door = Door(tmp_path, verifying_credential(world).reveal())
    assert [told(door, received(limited)) for _ in range(3)] == ["valid", "valid", "quota"]


@pytest.mark.usefixtures("one_day")
def test_a_key_that_signs_is_held_to_its_limits_where_nothing_is_held_in_memory(tmp_path, world, kind, superuser):
    allow_signing(world)
    limited = signer_of(world, kind, limits={"requests_per_day": 1})
    behind_the_back(superuser, "UPDATE keys_environment SET max_staleness_ms = 0 WHERE tag = 'prod'")
    door = Door(tmp_path, verifying_credential(world).reveal())
    request = received(limited)
    assert [told(door, each) for each in (request, request, received(limited))] == ["valid", "replay", "quota"]


def test_uses_are_counted(door, signer, tmp_path):
    question = received(signer)
    assert [told(door, question), told(door, question)] == ["valid", "replay"]
    door.tallies.close()
    add_files(tmp_path)
    assert uses_of(signer.version) == {"valid": 1, "replay": 1}


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
