"""The same POST under the same key is done once."""

import functools
import json

import pytest
from django.db import connection
from django.test import Client

from audit.models import AuditEvent
from keys.lifecycle.handover import accept_transfer, offer_transfer
from keys.models import KeyRequest, Membership
from keys.people.teams import change_member_roles, end_membership
from portal.models import IdempotencyRecord
from tests.people import acting
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


def again_and_anew(client, path, body, key="k-1"):
    """What the repeat of a request gets, and what the same request gets that was never sent before."""
    told = [client.post(path, body, format="json", **named) for named in ({"HTTP_IDEMPOTENCY_KEY": key}, {})]
    return [(answer.status_code, answer.json().get("code")) for answer in told]


def denials():
    return AuditEvent.objects.filter(action="access.denied").count()


def leaves_the_team(stage, person, team):
    end_membership(Membership.objects.living().get(team=team, person=person), actor=acting(stage.world.admin, "people"))


def test_who_left_the_team_gets_no_answer_of_before(stage):
    alice, world = stage.client("developer"), stage.world
    path, body = f"/api/v1/keys/{stage.living.pk}/suspend", {"reason": "investigation"}
    assert alice.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1").status_code == 200
    assert ask(alice, key="k-2").status_code == 201
    leaves_the_team(stage, world.alice, world.reporting)
    before = denials()
    assert again_and_anew(alice, path, body) == [(403, "may_not_stop_key")] * 2, "who asked for a key goes on to see it"
    assert denials() == before + 2, "each is on record like any other"
    again, anew = again_and_anew(alice, "/api/v1/requests", DRAFT, key="k-2")
    assert again == anew
    assert again[0] in (403, 422)


def test_whose_role_has_ended_is_refused_like_anew(stage):
    bob, world = stage.client("approver"), stage.world
    path, body = f"/api/v1/requests/{stage.pending.pk}/approve", {"digest": stage.pending.digest}
    assert bob.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1").status_code == 200
    place = Membership.objects.living().get(team=world.orders_team, person=world.bob)
    change_member_roles(place, roles=["developer"], actor=acting(world.admin, "people"))
    assert again_and_anew(bob, path, body) == [(403, "not_an_approver")] * 2


def test_a_key_that_went_to_another_team_took_its_answers_along(stage):
    alice, world = stage.client("developer"), stage.world
    path, body = f"/api/v1/keys/{stage.living.pk}/suspend", {"reason": "investigation"}
    assert alice.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1").status_code == 200
    offer = offer_transfer(stage.living, to_team=world.other, actor=acting(world.alice, "handover"))
    accept_transfer(offer, recipient=world.mallory, actor=acting(world.mallory, "handover"))
    assert again_and_anew(alice, path, body) == [(404, "not_found")] * 2


def test_what_the_first_request_did_stands_in_nobodys_way(stage):
    """Anew they would be refused because it was done: that is what the key is for. Presence was proved for the first."""
    bob, responder = stage.client("approver"), stage.client("responder")
    approve, digest = f"/api/v1/requests/{stage.pending.pk}/approve", {"digest": stage.pending.digest}
    revoke, reason = f"/api/v1/keys/{stage.living.pk}/revoke", {"reason": "superseded"}
    for client, path, body in ((bob, approve, digest), (responder, revoke, reason)):
        first = client.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1")
        assert first.status_code == 200
        events = AuditEvent.objects.count()
        later = stage.as_person(stage.world.bob if client is bob else stage.world.responder)
        for caller in (client, later):
            again = caller.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1")
            assert (again.status_code, again.get("Idempotency-Replayed")) == (200, "true")
            assert json.loads(again.content) == json.loads(first.content)
        assert AuditEvent.objects.count() == events, "neither done again nor refused"


def test_a_stranger_learns_nothing_by_a_key_of_somebody_else(stage):
    path, body = f"/api/v1/keys/{stage.living.pk}/suspend", {"reason": "investigation"}
    stage.client("developer").post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1")
    assert again_and_anew(stage.client("stranger"), path, body) == [(404, "not_found")] * 2


def test_no_answer_with_a_secret_takes_a_key():
    schema = json.loads(Client().get("/api/v1/openapi.json").content)

    def names(part):
        if isinstance(part, dict):
            if "$ref" in part:
                return names(functools.reduce(dict.__getitem__, part["$ref"].split("/")[1:], schema))
            return set(part.get("properties", ())).union(*map(names, part.values()))
        return set().union(*map(names, part)) if isinstance(part, list) else set()

    taking, giving = set(), set()
    for path in schema["paths"].values():
        for operation in path.values():
            if not isinstance(operation, dict) or "operationId" not in operation:
                continue
            if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ())):
                taking.add(operation["operationId"])
            if names(operation["responses"]) & {
                "secret",
                "address",
                "token",
                "access_token",
                "device_code",
                "user_code",
            }:
                giving.add(operation["operationId"])
    assert {"versions_claim", "webhooks_create", "webhooks_rotate", "me_make_calendar"} <= giving
    assert len(taking) > 20
    assert not taking & giving
