"""Lists: pages by key, filters, and no more queries than needed."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEvent
from keys.lifecycle.revocation import revoke_key, suspend_key
from keys.states import RevocationReason, SuspensionReason
from tests.people import acting, approved, issued, submitted


def walk(client, path):
    names, cursor = [], None
    while True:
        answer = client.get(path + (f"&cursor={cursor}" if cursor else "")).json()
        names += [each["id"] for each in answer["results"]]
        cursor = answer["next"]
        if cursor is None:
            return names


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_hold_every_row_once_in_order(stage, order):
    for number in range(7):
        submitted(stage.world, name=f"Report {number}")
    client = stage.client("developer")
    by_threes = walk(client, f"/api/v1/requests?limit=3&order={order}")
    at_once = walk(client, f"/api/v1/requests?limit=100&order={order}")
    assert by_threes == at_once
    assert len(set(by_threes)) == len(by_threes) >= 8
    assert walk(client, "/api/v1/requests?limit=2&order=oldest") == walk(client, "/api/v1/requests?limit=5")[::-1]


def test_a_filter_leaves_what_fits_and_nothing_else(stage):
    client = stage.client("administrator")
    everything = client.get("/api/v1/keys?limit=100").json()["results"]
    assert {each["service"] for each in everything} == {"orders", "keystead"}
    orders = client.get("/api/v1/keys?limit=100&service=orders").json()["results"]
    assert {each["service"] for each in orders} == {"orders"}
    assert client.get("/api/v1/keys?environment=test").json()["results"] == []
    pending = client.get("/api/v1/requests?state=pending").json()["results"]
    assert [each["id"] for each in pending] == [str(stage.pending.pk)]
    later = client.get("/api/v1/keys?created_from=2999-01-01T00:00:00Z").json()
    assert later == {"results": [], "next": None}


def test_a_key_is_found_by_its_number_or_the_kid_of_a_version_and_only_by_those_who_may_see_it(stage):
    key = stage.living
    kid = key.versions.get().kid
    for role, names in (("developer", [str(key.pk)]), ("program", [str(key.pk)]), ("stranger", [])):
        for query in (f"kid={kid}", f"number={key}"):
            found = stage.client(role).get(f"/api/v1/keys?{query}").json()["results"]
            assert [each["id"] for each in found] == names
    for query in ("kid=short", "kid=" + "x" * 17, "number=7", "number=KEY-0"):
        assert stage.client("developer").get(f"/api/v1/keys?{query}").status_code == 400


def test_a_request_is_found_by_its_number_and_only_by_those_who_may_see_it(stage):
    for role, names in (("developer", [str(stage.pending.pk)]), ("stranger", [])):
        found = stage.client(role).get(f"/api/v1/requests?number={stage.pending}").json()["results"]
        assert [each["id"] for each in found] == names
    for number in ("7", "REQ-0", "KEY-7"):
        assert stage.client("developer").get(f"/api/v1/requests?number={number}").status_code == 400


def test_a_key_says_how_it_stands_in_the_list_and_by_itself(stage):
    world, client = stage.world, stage.client("developer")
    waiting, resting = approved(world, name="Waiting"), issued(world, name="Resting")[0]
    suspend_key(resting, actor=acting(world.alice, "suspend"), reason=SuspensionReason.INVESTIGATION)
    ended = issued(world, name="Ended")[0]
    revoke_key(ended, actor=acting(world.alice, "revoke"), reason=RevocationReason.KEY_COMPROMISE)
    stands = {each["id"]: each["standing"] for each in client.get("/api/v1/keys?limit=100").json()["results"]}
    for key, standing in (
        (stage.living, "active"),
        (waiting, "waiting"),
        (resting, "suspended"),
        (ended, "compromised"),
    ):
        assert stands[str(key.pk)] == standing
        assert client.get(f"/api/v1/keys/{key.pk}").json()["standing"] == standing


@pytest.mark.parametrize("path", ["keys", "requests", "services", "policies", "transfers", "environments"])
def test_a_list_costs_the_same_however_long_it_is(stage, path):
    client = stage.client("administrator")

    def cost():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(f"/api/v1/{path}?limit=100").status_code == 200
        return len(queries)

    before = cost()
    for number in range(4):
        submitted(stage.world, name=f"Report {number}", environment="dev")
    assert cost() == before <= 4


def test_a_program_sees_its_own_team_and_environment_only(stage):
    submitted(stage.world, name="In development", environment="dev")
    client = stage.client("program")
    for path in ("keys", "requests"):
        found = client.get(f"/api/v1/{path}?limit=100").json()["results"]
        assert found
        assert {each["owner_team"] for each in found} == {"reporting"}
        assert {each["environment"] for each in found} == {"prod"}


def test_programs_learn_no_names(stage):
    client = stage.client("program")
    said = client.get(f"/api/v1/requests/{stage.pending.pk}").json()
    assert said["requester"] == {"id": str(stage.world.alice.pk), "name": None}
    for path in (f"requests/{stage.pending.pk}", f"keys/{stage.living.pk}", "audit/events", "transfers"):
        text = client.get(f"/api/v1/{path}").content.decode()
        assert "Alice" not in text
        assert "@example.com" not in text


def test_the_log_is_searched_page_by_page_and_the_search_is_on_it(stage):
    client = stage.client("auditor")
    first = client.get("/api/v1/audit/events?action=key.created&limit=2").json()
    assert [each["action"] for each in first["results"]] == ["key.created"] * 2
    second = client.get(f"/api/v1/audit/events?action=key.created&limit=2&cursor={first['next']}").json()
    assert not {each["uid"] for each in first["results"]} & {each["uid"] for each in second["results"]}
    reads = AuditEvent.objects.with_action("audit.log-read").by_actor("person", str(stage.world.auditor.pk))
    assert reads.count() == 2
    one = client.get(f"/api/v1/audit/events/{first['results'][0]['uid']}").json()
    assert one["envelope"]["action"] == "key.created"
    about = client.get(f"/api/v1/audit/events?target=key:{stage.living.pk}").json()["results"]
    assert {each["target_type"] for each in about} >= {"key", "version"}


def test_me_tells_a_person_and_a_program_who_they_are(stage):
    person = stage.client("developer").get("/api/v1/me").json()
    assert (person["kind"], person["name"], person["teams"]) == (
        "person",
        "Alice",
        {"reporting": ["developer", "lead"]},
    )
    assert "approve" in person["step_ups"]
    program = stage.client("program").get("/api/v1/me").json()
    assert (program["kind"], program["environment"], program["teams"]) == ("program", "prod", {"reporting": []})
    assert "keys:read" in program["scopes"]


def test_a_service_shows_its_scopes_and_templates(stage):
    said = stage.client("developer").get("/api/v1/services/orders").json()
    assert [each["name"] for each in said["scopes"]] == ["orders:cancel", "orders:read", "orders:write"]
    assert said["templates"] == []
    assert stage.client("developer").get("/api/v1/services/nothing").status_code == 404
