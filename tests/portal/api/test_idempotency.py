"""The same POST under the same key is done once."""

import json

import pytest
from django.db import connection

from keys.models import KeyRequest
from portal.models import IdempotencyRecord
from tests.portal.api.test_bad_input import DRAFT


def ask(client, key="k-1", **changes):
    return client.post("/api/v1/requests", {**DRAFT, **changes}, format="json", HTTP_IDEMPOTENCY_KEY=key)


def test_a_repeated_request_gets_the_first_answer(stage):
    alice = stage.client("developer")
    first, again = ask(alice), ask(alice)
    assert first.status_code == again.status_code == 201
    assert json.loads(first.content) == json.loads(again.content)
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert KeyRequest.objects.filter(content__name="Nightly report").count() == 1


def test_another_request_under_the_same_key_is_refused(stage):
    alice = stage.client("developer")
    ask(alice)
    answer = ask(alice, name="Another")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_refused_request_leaves_its_key_free(stage):
    alice = stage.client("developer")
    assert ask(alice, scopes=[]).status_code == 422
    assert not IdempotencyRecord.objects.exists()
    assert ask(alice).status_code == 201


def test_everybody_has_keys_of_their_own(stage):
    assert ask(stage.client("developer")).status_code == 201
    other = ask(stage.as_person(stage.world.anna, "approve"))
    assert other.status_code == 201
    assert KeyRequest.objects.filter(content__name="Nightly report").count() == 2


def test_a_key_is_forgotten_after_a_day(stage):
    alice = stage.client("developer")
    ask(alice)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE portal_idempotencyrecord SET expires_at = now() - interval '1 second'")
    assert ask(alice, name="Another").status_code == 201
    with connection.cursor() as cursor:
        cursor.execute("UPDATE portal_idempotencyrecord SET expires_at = now() - interval '1 second'")
    assert IdempotencyRecord.objects.forget_expired() == 1


def test_a_request_that_still_runs_is_a_conflict(stage):
    alice = stage.client("developer")
    ask(alice)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE portal_idempotencyrecord SET status = NULL")
    answer = ask(alice)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "ä"])
def test_an_odd_key_is_refused(stage, key):
    answer = ask(stage.client("developer"), key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_header")


def test_a_claim_takes_no_key_and_keeps_no_answer(stage):
    alice = stage.client("developer")
    path = f"/api/v1/versions/{stage.unclaimed.pk}/claim"
    answer = alice.post(path, {}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_not_offered")
    claimed = alice.post(path, {}, format="json")
    assert claimed.status_code == 200
    assert claimed["Cache-Control"] == "no-store"
    secret = claimed.json()["secret"]
    assert secret.startswith(f"ks_prod_{stage.unclaimed.kid}_")
    again = alice.post(path, {}, format="json")
    assert (again.status_code, again.json()["code"]) == (410, "claimed_already")
    assert secret not in again.content.decode()
    assert not IdempotencyRecord.objects.exists()
