"""A program may sign its requests to Keystead instead of showing its secret: the same program, proved anew each time."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rest_framework.test import APIClient

from audit.models import AuditEvent
from keys.models import KeyRequest, Sighting
from keys.verification import credentials
from keys.verification.lookup import find
from tests.people import acting, approved
from tests.portal.api.sessions import session_cookie
from tests.portal.api.stage import make_program
from tests.portal.api.test_bad_input import DRAFT
from tests.signing import Call, pem_of
from tests.signing_keys import Signer, allow_signing, program_signer, signer_of

pytestmark = pytest.mark.usefixtures("sealing", "settled_nonces")
ME = Call(path="/api/v1/me", authority="testserver")


def send(call: Call, headers: dict[str, str], **more: Any) -> Any:
    """Send a signed call as it stands."""
    named = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items() if name != "content-type"
    }
    address = call.path + (f"?{call.query}" if call.query else "")
    return APIClient(enforce_csrf_checks=True).generic(
        call.method, address, call.body, content_type=headers.get("content-type", call.content_type), **named, **more
    )


def signed(signer: Signer, call: Call = ME, *, age: int = 0, nonce: str = "") -> dict[str, str]:
    # The test client speaks plain http, as a portal behind its proxy does.
    return signer.headers(call, created=int(time.time()) - age, nonce=nonce)


@pytest.fixture(params=["hmac-sha256", "ed25519"])
def signer(request, world):
    return program_signer(world, request.param, scopes=("keys:read", "requests:write"))


def test_a_signed_request_is_the_program_once(world, signer):
    headers = signed(signer)
    answer = send(ME, headers)
    assert (answer.status_code, answer.json()["kind"], answer.json()["name"]) == (200, "program", "Signing pipeline")
    again = send(ME, headers)
    assert (again.status_code, again.json()["code"]) == (401, "replay")
    assert again["WWW-Authenticate"].startswith("Bearer")
    assert abs(again.json()["server_time"] - time.time()) < 25
    assert Sighting.objects.filter(version=signer.version).exists()


def test_it_does_what_its_bearer_token_would_and_is_on_record_as_signed(world, signer):
    body = json.dumps(DRAFT | {"recipient": str(world.alice.pk)}).encode()
    call = Call(method="POST", path="/api/v1/requests", authority="testserver", body=body)
    answer = send(call, signed(signer, call))
    assert answer.status_code == 201, answer.content
    event = AuditEvent.objects.get(action="request.submitted")
    assert (event.actor_type, event.actor_id) == ("program", str(signer.key.pk))
    assert b"signed-request" in bytes(event.payload)
    denied = Call(path="/api/v1/events", authority="testserver")
    assert send(denied, signed(signer, denied)).status_code == 404, "the log is not for everybody"


def test_with_anything_changed_nobody_comes_in_and_nothing_happens(world, signer):
    body = json.dumps(DRAFT).encode()
    call = Call(method="POST", path="/api/v1/requests", authority="testserver", body=body)
    other = Call(method="POST", path="/api/v1/requests", authority="testserver", body=body.replace(b"30", b"31", 1))
    for sent, more in (
        (other, {}),
        (Call(method="POST", path="/api/v1/requests", query="x=1", authority="testserver", body=body), {}),
        (call, {"HTTP_HOST": "localhost"}),
    ):
        answer = send(sent, signed(signer, call), **more)
        assert answer.status_code == 401, answer.content
        assert answer.json()["code"] in {"signature_invalid", "signature_malformed"}
    put = Call(method="PUT", path="/api/v1/requests", authority="testserver", body=body)
    assert send(put, signed(signer, call)).status_code == 405, "a method that is not here is told before who asks"
    get = Call(method="GET", path="/api/v1/requests", authority="testserver", body=body)
    assert send(get, signed(signer, call)).json()["code"] == "signature_invalid"
    text = signed(signer, call) | {"content-type": "application/json; charset=utf-8"}
    assert send(call, text).json()["code"] == "signature_invalid"
    wrong = send(other, signed(signer, call))
    assert (wrong.json()["code"], wrong.json()["fault"]) == ("signature_malformed", "digest_mismatch")
    assert not KeyRequest.objects.exists()


def test_time_is_told(world, signer):
    for age, code in ((70, "signature_expired"), (-30, "signature_in_future")):
        answer = send(ME, signed(signer, age=age))
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert abs(answer.json()["server_time"] - time.time()) < 25


def test_keys_of_other_services_and_strangers_are_one_answer(world, signer):
    allow_signing(world)
    of_orders = signer_of(world, "hmac-sha256")
    answers = [
        send(ME, signed(of_orders)),
        send(ME, signed(Signer(key=signer.key, version=of_orders.version, sign=signer.sign))),
        send(
            ME,
            signed(signer)
            | {"signature": "keystead=:" + "A" * (43 if signer.secret else 86) + ("=:" if signer.secret else "==:")},
        ),
    ]
    assert {(each.status_code, each.json()["code"]) for each in answers} == {(401, "signature_invalid")}
    assert {tuple(sorted(each.json())) for each in answers} == {tuple(sorted(answers[0].json()))}


def test_a_token_and_a_signature_are_not_both_taken(world, signer):
    _, secret = make_program(world.reporting, world.alice)
    answer = send(ME, signed(signer), HTTP_AUTHORIZATION=f"Bearer {secret.reveal()}")
    assert (answer.status_code, answer.json()["code"]) == (400, "two_credentials")
    client = APIClient()
    client.cookies["session"] = session_cookie(world.alice)
    forged = client.get("/api/v1/me", HTTP_SIGNATURE_INPUT="keystead=()", HTTP_SIGNATURE="keystead=::")
    assert forged.status_code == 401, "a signature beside a session is no way in"


def test_the_secret_of_a_key_that_signs_is_no_token(world, signer):
    if signer.secret:
        answer = send(ME, {"authorization": f"Bearer {signer.secret}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_without_a_memory_of_nonces_nobody_comes_in(world, signer, settled_nonces):
    settled_nonces.flushdb()
    answer = send(ME, signed(signer))
    assert (answer.status_code, answer.json()["code"]) == (503, "nonce_store_young")
    assert 1 <= int(answer["Retry-After"]) <= 15


def test_a_claim_over_rest_takes_a_public_key_and_refuses_a_private_one(world):
    allow_signing(world)
    pair = Ed25519PrivateKey.generate()
    version = approved(world, kind="ed25519").versions.get()
    client = APIClient()
    client.force_authenticate(user=acting(world.alice, "claim"))
    address = f"/api/v1/versions/{version.pk}/claim"
    private = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    refused = client.post(address, {"public_key": private}, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "private_key_refused")
    assert private[40:60] not in refused.content.decode()
    claimed = client.post(address, {"public_key": pem_of(pair)}, format="json")
    assert claimed.status_code == 200, claimed.content
    assert claimed.json()["secret"] is None
    assert len(claimed.json()["version"]["public_key"]) == 43


def test_a_clock_that_is_slow_here_lengthens_no_keys_life(world, signer, monkeypatch):
    found = find(signer.version.kid)
    assert found is not None
    ended = replace(found, at=found.fields.expires_at + timedelta(seconds=1))
    monkeypatch.setattr(credentials, "find", lambda kid: ended)
    answer = send(ME, signed(signer))
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")
