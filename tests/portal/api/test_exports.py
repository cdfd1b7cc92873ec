"""Programs and people have files made from the log over REST: their own, decided like everywhere, taken on record."""

import json

import pytest

from audit.models import AuditEvent, AuditExport
from tests.portal.api.stage import finished_export

ADDRESS = "/api/v1/audit/exports"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, settings):
    settings.KEYSTEAD_EXPORT_FOLDER = tmp_path / "exports"


def ask(client, **body):
    return client.post(ADDRESS, {"form": "jsonl", **body}, format="json")


def test_a_program_takes_out_what_happened_in_its_environment(stage):
    client = stage.as_program(stage.program)
    answer = ask(client, outcome="success", since="2020-01-01T00:00:00.5+02:00")
    assert answer.status_code == 202
    said = answer.json()
    assert (said["state"], said["requested_by"], said["sha256"]) == ("waiting", f"program:{stage.program.pk}", "")
    assert said["searched"] == {"environment": "prod", "outcome": "success", "from": "2019-12-31T22:00:00.500000+00:00"}
    row = AuditExport.objects.get(uid=said["id"])
    assert row.scope["search"]["environment"] == "prod"
    assert client.get(f"{ADDRESS}/{said['id']}").json()["state"] == "waiting"
    early = client.post(f"{ADDRESS}/{said['id']}/download", {}, format="json")
    assert (early.status_code, early.json()["code"]) == (409, "export_not_ready")


def test_a_program_sees_its_own_files_only(stage):
    others = finished_export(f"person:{stage.world.auditor.pk}")
    own = finished_export(f"program:{stage.program.pk}")
    client = stage.as_program(stage.program)
    assert [each["id"] for each in client.get(ADDRESS).json()["results"]] == [str(own.uid)]
    assert client.get(f"{ADDRESS}/{others.uid}").status_code == 404
    assert client.post(f"{ADDRESS}/{others.uid}/download", {}, format="json").status_code == 404
    assert {each["id"] for each in stage.client("auditor").get(ADDRESS).json()["results"]} == {
        str(own.uid),
        str(others.uid),
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [({"from_leaf": 0, "upto_leaf": 5}, "range_is_for_people"), ({"with_private": True}, "private_is_for_people")],
)
def test_ranges_and_private_parts_are_for_people(stage, body, code):
    answer = ask(stage.client("program"), **body)
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert not AuditExport.objects.exists()


def test_people_step_up_to_ask_and_to_take(stage):
    made = finished_export(f"person:{stage.world.auditor.pk}")
    client = stage.as_person(stage.world.auditor)
    for answer in (ask(client), client.post(f"{ADDRESS}/{made.uid}/download", {}, format="json")):
        assert (answer.status_code, answer.json()["code"]) == (403, "step_up_required")


def test_a_file_is_taken_as_it_is_and_on_record(stage):
    made = finished_export(f"person:{stage.world.auditor.pk}")
    client = stage.client("administrator")
    answer = client.post(f"{ADDRESS}/{made.uid}/download", {}, format="json", HTTP_ACCEPT="application/zip")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert b"".join(answer.streaming_content) == b"a file"
    taken = AuditEvent.objects.with_action("audit.export-downloaded").newest_first()[0]
    assert (taken.actor_id, taken.target_id) == (str(stage.world.admin.pk), str(made.uid))
    refused = client.post(f"{ADDRESS}/{made.pk}/download", {"x": 1}, format="json", HTTP_ACCEPT="application/zip")
    assert (refused.status_code, refused["Content-Type"]) == (422, "application/problem+json")
    assert json.loads(refused.content)["code"] == "invalid_input"
    assert (
        client.post(f"{ADDRESS}/{made.uid}/download", {}, format="json", HTTP_IDEMPOTENCY_KEY="k").json()["code"]
        == "idempotency_not_offered"
    )


def test_the_same_call_again_asks_for_one_file(stage):
    client = stage.client("auditor")
    answers = [client.post(ADDRESS, {"form": "csv"}, format="json", HTTP_IDEMPOTENCY_KEY="export-1") for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert AuditExport.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {"form": "xml"}, {"form": 7}, {"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"since": "2026-01-01"},
        {"since": "0001-01-01T00:00:00+23:00"}, {"actor": "nobody"}, {"environment": "moon"}, {"outcome": "fine"},
        {"upto_leaf": 0}, {"upto_leaf": "5"}, {"upto_leaf": 2**53}, {"from_leaf": -1, "upto_leaf": 5},
        {"upto_leaf": 10**9}, {"with_private": "yes"}, {"target": "key:\u0000"}, {"unknown": 1},
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words(stage, body):
    answer = ask(stage.client("auditor"), **body)
    assert answer.status_code in (400, 422), answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert not AuditExport.objects.exists()


def test_the_list_has_pages_and_refuses_odd_cursors(stage):
    # By their identifiers: two may begin in one millisecond, and then nothing says which was first.
    newest_first = sorted(
        (str(finished_export(f"person:{stage.world.auditor.pk}").uid) for _ in range(3)), reverse=True
    )
    client = stage.client("auditor")
    first = client.get(f"{ADDRESS}?limit=2").json()
    assert [each["id"] for each in first["results"]] == newest_first[:2]
    second = client.get(f"{ADDRESS}?limit=2&cursor={first['next']}").json()
    assert [each["id"] for each in second["results"]] == newest_first[2:]
    assert second["next"] is None
    assert client.get(f"{ADDRESS}?cursor=x").status_code == 400
    assert client.get(f"{ADDRESS}/not-an-id").status_code == 404


def test_a_program_cancels_its_own(stage):
    client = stage.as_program(stage.program)
    uid = ask(client).json()["id"]
    answer = client.post(f"{ADDRESS}/{uid}/cancel", {}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    again = client.post(f"{ADDRESS}/{uid}/cancel", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "export_ended")
    others = ask(stage.client("auditor")).json()["id"]
    assert client.post(f"{ADDRESS}/{others}/cancel", {}, format="json").status_code == 404
    assert stage.client("auditor").post(f"{ADDRESS}/{others}/cancel", {}, format="json").json()["state"] == "cancelled"
