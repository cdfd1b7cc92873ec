"""Who may come in: people with two factors and a token against forgery, programs with a living key, nobody else."""

import threading

import pytest
from django.db import connections
from rest_framework.test import APIClient

from audit.models import AuditEvent
from keys.crypto.key_text import mint
from keys.lifecycle.revocation import revoke_key
from keys.models import KeyRequest, ManagedKey, Sighting
from keys.people.roles import deactivate_person
from keys.states import RevocationReason
from tests.people import acting, issued, verifying_credential
from tests.portal.api.sessions import CSRF, session_cookie
from tests.portal.api.stage import make_program
from tests.portal.api.test_bad_input import DRAFT

pytestmark = pytest.mark.usefixtures("sealing")


def browser(cookie, *, csrf=True):
    client = APIClient(enforce_csrf_checks=True)
    client.cookies["session"] = cookie
    client.cookies["csrf"] = CSRF
    if csrf:
        client.credentials(HTTP_X_CSRFTOKEN=CSRF)
    return client


def program(secret):
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_person_with_two_factors_comes_in_and_changes_need_the_token(world):
    cookie = session_cookie(world.alice)
    assert browser(cookie).get("/api/v1/me").json()["name"] == "Alice"
    assert browser(cookie).post("/api/v1/requests", DRAFT, format="json").status_code == 201
    forged = browser(cookie, csrf=False).post("/api/v1/requests", DRAFT, format="json")
    assert (forged.status_code, forged.json()["code"]) == (403, "csrf_failed")
    assert KeyRequest.objects.count() == 1


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "multipart/form-data; boundary=b", "text/plain"]
)
@pytest.mark.parametrize("body", [b"", b"{}", b"--b", b"--b\r\n\r\nx", b"csrfmiddlewaretoken=x", b"\xff" * 100])
def test_looking_for_the_token_spoils_no_body(world, kind, body):
    for key in ({}, {"HTTP_IDEMPOTENCY_KEY": "k"}):
        client = browser(session_cookie(world.alice))
        answer = client.generic("POST", "/api/v1/requests", body, content_type=kind, **key)
        assert answer.status_code in {400, 415, 422}, answer.content
        assert answer["Content-Type"] == "application/problem+json"


def test_a_session_without_a_second_factor_is_nobody(world):
    answer = browser(session_cookie(world.alice, factors=False)).get("/api/v1/me")
    assert answer.status_code == 401


def test_a_person_who_left_is_nobody(world):
    cookie = session_cookie(world.alice)
    deactivate_person(world.alice, actor=acting(world.admin, "people"))
    assert browser(cookie).get("/api/v1/me").status_code == 401


def test_a_program_comes_in_with_its_key_and_is_seen(world):
    key, secret = make_program(world.reporting, world.alice)
    answer = program(secret.reveal()).get("/api/v1/me")
    assert (answer.status_code, answer.json()["id"]) == (200, str(key.pk))
    assert Sighting.objects.get(version__managed_key=key).address == "127.0.0.1"


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YWxpY2U6eA==", "Token x", "Bearer ks_prod_x", "Bearer \xff\xfe", "Bearer a b c"],
)
def test_odd_credentials_are_nobodys(world, header):
    answer = APIClient().get("/api/v1/me", HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"


def test_a_wrong_credential_beside_a_session_is_nobody(world):
    client = browser(session_cookie(world.alice))
    assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {mint('prod').secret.reveal()}").status_code == 401


def test_a_revoked_program_is_out_at_its_next_call(world):
    key, secret = make_program(world.reporting, world.alice)
    assert program(secret.reveal()).get("/api/v1/me").status_code == 200
    revoke_key(key, actor=acting(world.alice, "revoke"), reason=RevocationReason.SUPERSEDED)
    answer = program(secret.reveal()).get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_a_key_of_another_service_opens_nothing_here(world):
    assert program(issued(world)[2].reveal()).get("/api/v1/me").status_code == 401


def test_a_verifying_credential_verifies_and_reads_nothing(world):
    client = program(verifying_credential(world).reveal())
    assert client.get("/api/v1/me").json()["scopes"] == ["keys:verify"]
    answer = client.get("/api/v1/keys")
    assert (answer.status_code, answer.json()["code"], answer.json()["rule"]) == (403, "scope_missing", "api.scope")


def test_the_whole_job_over_http(world):
    """Alice asks, Bob and Carol approve, Alice claims, the service verifies, a program revokes; all of it on record."""
    credential = verifying_credential(world).reveal()
    alice, bob, carol = (browser(session_cookie(each, "*")) for each in (world.alice, world.bob, world.carol))
    asked = alice.post("/api/v1/requests", DRAFT, format="json").json()
    path = f"/api/v1/requests/{asked['id']}"
    assert alice.post(f"{path}/approve", {"digest": asked["digest"]}, format="json").status_code == 403
    assert bob.post(f"{path}/approve", {"digest": "0" * 64}, format="json").status_code == 409
    assert bob.post(f"{path}/approve", {"digest": asked["digest"]}, format="json").json()["state"] == "pending"
    approved = carol.post(f"{path}/approve", {"digest": asked["digest"]}, format="json").json()
    assert approved["state"] == "approved"
    key = alice.get(f"/api/v1/keys/{approved['keys'][0]}").json()
    claim = f"/api/v1/versions/{key['versions'][0]['id']}/claim"
    assert bob.post(claim, {}, format="json").status_code == 403
    secret = alice.post(claim, {}, format="json").json()["secret"]
    verdict = program(credential).post("/v1/verify", {"key": secret, "scopes": ["orders:read"]}, format="json")
    assert verdict.json()["valid"] is True
    used = alice.get(f"/api/v1/keys/{key['id']}/usage").json()
    assert [(each["outcome"], each["count"]) for each in used["usage"]] == [("valid", 1)]
    pipeline = program(make_program(world.reporting, world.alice)[1].reveal())
    ended = pipeline.post(f"/api/v1/keys/{key['id']}/revoke", {"reason": "superseded"}, format="json")
    assert ended.json()["revoked_reason"] == "superseded"
    verdict = program(credential).post("/v1/verify", {"key": secret}, format="json")
    assert verdict.json() == {"valid": False, "reason": "revoked"}
    life = list(AuditEvent.objects.of_target("key", key["id"]).oldest_first().values_list("action", flat=True))
    assert life == ["key.created", "key.revoked"]
    stored = "".join(bytes(each).decode() for each in AuditEvent.objects.values_list("payload", flat=True))
    assert secret not in stored


def test_of_many_at_once_one_acts(world):
    key = issued(world)[0]
    secret = make_program(world.reporting, world.alice)[1].reveal()
    answers = []

    def revoke():
        answer = program(secret).post(
            f"/api/v1/keys/{key.pk}/revoke", {"reason": "superseded"}, format="json", HTTP_IDEMPOTENCY_KEY="one"
        )
        answers.append(answer)
        connections.close_all()

    threads = [threading.Thread(target=revoke) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.status_code for each in answers} <= {200, 409}
    assert sum(each.status_code == 200 and "Idempotency-Replayed" not in each for each in answers) == 1
    assert ManagedKey.objects.get(pk=key.pk).revoked_at is not None
