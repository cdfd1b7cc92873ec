"""Legal holds over REST: placed by one, lifted by another, on record, and nothing at all for whoever may not read the log."""

from audit.models import AuditEvent, AuditHold

ADDRESS = "/api/v1/audit/holds"
WHY = "Letter of the court of 12 May"


def place(client, **body):
    return client.post(ADDRESS, {"reason": WHY, **body}, format="json")


def test_one_places_it_and_another_lifts_it(stage):
    auditor, admin = stage.client("auditor"), stage.client("administrator")
    placed = place(auditor, since="2020-01-01T00:00:00Z")
    assert placed.status_code == 201
    said = placed.json()
    assert (said["from_leaf"], said["upto_leaf"], said["reason"], said["lifted_at"]) == (0, None, WHY, None)
    assert said["placed_by"] == f"person:{stage.world.auditor.pk}"
    address = f"{ADDRESS}/{said['id']}"
    assert admin.get(address).json() == said
    assert [each["id"] for each in admin.get(ADDRESS).json()["holds"]] == [said["id"]]
    assert auditor.post(f"{address}/lift", {}, format="json").status_code == 403
    lifted = admin.post(f"{address}/lift", {}, format="json").json()
    assert lifted["lifted_by"] == f"person:{stage.world.admin.pk}"
    again = admin.post(f"{address}/lift", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "hold_lifted_already")
    told = AuditEvent.objects.filter(target_type="hold", target_id=str(said["id"])).order_by("id")
    assert list(told.values_list("action", flat=True)) == ["hold.placed", "hold.lifted"]


def test_nobody_lets_go_of_what_they_held(stage):
    admin = stage.client("administrator")
    held = place(admin, from_leaf=0, upto_leaf=9).json()
    assert (held["from_leaf"], held["upto_leaf"]) == (0, 9)
    refused = admin.post(f"{ADDRESS}/{held['id']}/lift", {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "hold_needs_another")


def test_it_needs_presence_and_a_reason_and_a_span(stage):
    plain = stage.as_person(stage.world.auditor, "export")
    assert place(plain).json()["code"] == "step_up_required"
    auditor = stage.client("auditor")
    assert place(auditor, reason="short").json()["errors"][0]["field"] == "reason"
    assert place(auditor, from_leaf=5, upto_leaf=5).json()["errors"][0]["code"] == "span_empty"
    mixed = place(auditor, from_leaf=5, since="2020-01-01T00:00:00Z").json()
    assert mixed["errors"][0]["code"] == "leaves_or_times"
    assert place(auditor, hours=5).json()["errors"][0]["code"] == "unknown_field"
    assert not AuditHold.objects.exists()


def test_for_others_and_for_programs_there_are_none(stage):
    held = place(stage.client("auditor")).json()
    for role in ("developer", "responder", "stranger"):
        client = stage.client(role)
        for answer in (
            client.get(ADDRESS), place(client), client.get(f"{ADDRESS}/{held['id']}"),
            client.post(f"{ADDRESS}/{held['id']}/lift", {}, format="json"),
        ):  # fmt: skip
            assert answer.status_code == 404
    assert stage.client("program").get(ADDRESS).json()["code"] == "people_only"
    for name in ("0", "01", "-1", "x", "9" * 19):
        assert stage.client("auditor").get(f"{ADDRESS}/{name}").status_code == 404
