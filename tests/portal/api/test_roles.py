"""Every cell of docs/api-roles.md is a request that is sent."""

import re
from pathlib import Path

import pytest
from django.core.management import call_command

from audit import clock
from audit.models import AuditEvent, AuditExport
from keys.lifecycle.claiming import claim_secret
from keys.lifecycle.emergency import Measure, execute_emergency
from keys.lifecycle.emergency_lists import EmergencyFilter, list_keys
from keys.lifecycle.rotation import start_rotation
from keys.models import KeyVersion, Rotation
from keys.people.calendar_feeds import make_feed
from keys.retention.holds import HeldSpan, place_hold
from keys.webhooks.again import send_test_event
from keys.webhooks.endpoints import add_endpoint
from portal.api.openapi import document
from portal.api.permissions import ROLES
from portal.api.roles import table
from tests.people import acting
from tests.portal.api.stage import finished_export

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api-roles.md"
DRAFT = {
    "service": "orders",
    "environment": "prod",
    "owner_team": "reporting",
    "name": "Nightly report",
    "consumer": "report-builder",
    "purpose": "Build the nightly settlement report.",
    "cryptoperiod_days": 30,
    "authorised_days": 180,
    "scopes": ["orders:read"],
}


def rows():
    """The checked-in table: operation, method, address, and the cell of each role."""
    for line in PAGE.read_text().splitlines():
        found = re.fullmatch(r"\| `(\w+)` \| (\w+) (\S+) \| [^|]+ \| (.+) \|", line)
        if found:
            operation, method, path, cells = found.groups()
            yield operation, method, path, dict(zip(ROLES, cells.split(" | "), strict=True))


CELLS = [
    pytest.param(operation, method, path, role, cells[role], id=f"{operation}-{role}")
    for operation, method, path, cells in rows()
    for role in ROLES
]
OPERATIONS = [pytest.param(operation, method, path, id=operation) for operation, method, path, _ in rows()]


def rotating(world, key, operation):
    """A rotation of Alice's key that is as far as the operation needs it to be."""
    if operation in {"rotations_list", "rotations_retrieve"}:
        return key.rotations.get()
    rotation = start_rotation(key, actor=acting(world.anna, "claim"))
    if operation == "rotations_take_back":
        # As a client leaves it; that it may fetch is approved with other keys than this one.
        KeyVersion.objects.filter(pk=rotation.new_version_id).update(claimed_at=clock.now())
        Rotation.objects.filter(pk=rotation.pk).update(state="handed-over")
    if operation in {"rotations_undo", "rotations_retire"}:
        claim_secret(rotation.new_version, actor=acting(world.alice, "claim"))
    return rotation


def act(stage, operation, role):
    """The address's names and the body with which an operation succeeds for whoever may."""
    world = stage.world
    digest = stage.pending.digest
    recipient = {"recipient": str(world.alice.pk)} if role == "program" else {}
    target = {
        "keys_reinstate": stage.suspended,
        "versions_claim": stage.unclaimed,
        "requests": stage.pending,
        "transfers": stage.offered,
    }
    family = operation.partition("_")[0]
    retiring = {"retire_at": "2027-01-01T00:00:00Z"}
    if family == "exports":
        # A program takes its own; people who read the log take anybody's.
        export = finished_export(f"program:{stage.program.pk}" if role == "program" else f"person:{world.auditor.pk}")
        if operation == "exports_cancel":
            AuditExport.objects.filter(pk=export.pk).update(state="waiting")
        return str(export.pk), {"form": "jsonl"} if operation == "exports_create" else {}
    if family == "holds":
        hold = place_hold(HeldSpan(from_leaf=0, upto_leaf=9), actor=acting(world.auditor, "*"), reason="Case 4711/26.")
        return str(hold.pk), {"from_leaf": 2, "reason": "Case 4712/26."} if operation == "holds_place" else {}
    if operation == "me_make_calendar":
        return "-", {"team": None}
    if operation == "me_remove_calendar":
        return str(make_feed(world.alice, actor=acting(world.alice, "export")).feed.pk), {}
    if family == "teams":
        return "-", {"mail_to": "members"}
    if family == "jobs":
        return "keys.rotate", {"period_seconds": 10} if operation == "jobs_reschedule" else {}
    if family == "emergencies":
        responder, wanted = acting(world.responder, "revoke"), EmergencyFilter(numbers=(stage.suspended.number,))
        shown = list_keys(wanted, actor=responder)
        frozen = {"numbers": shown.numbers, "digest": shown.digest}
        if operation == "emergencies_retrieve":
            return str(execute_emergency(wanted, measure=Measure.REVOKE, actor=responder, **frozen)), {}
        confirmed = {"listed": shown.numbers, "digest": shown.digest, "measure": "revoke"}
        return "-", {"numbers": shown.numbers} | (confirmed if operation == "emergencies_execute" else {})
    if family == "rotations":
        return str(rotating(world, stage.living, operation).pk), retiring if operation == "rotations_retire" else {}
    if operation == "chats_create":
        return "-", {
            "team": "reporting", "url": "https://hooks.example.com/", "kinds": ["reminders"], "description": "Chat"
        }  # fmt: skip
    if operation == "me_choose":
        return "-", {"needs": "now", "reminders": "digest", "changes": "quiet", "news": "digest"}
    if family in {"webhooks", "deliveries"}:
        wish = {"url": "https://hooks.example.com/", "kinds": ["key.revoked"], "description": "Chat"}
        endpoint = add_endpoint(world.reporting, actor=acting(world.alice, "webhooks"), **wish).endpoint
        if family == "deliveries":
            return str(send_test_event(endpoint, actor=acting(world.alice)).pk), {}
        bodies = {"webhooks_create": {**wish, "team": "reporting"}, "webhooks_change": {**wish, "description": "Other"}}
        return str(endpoint.pk), bodies.get(operation, {})
    subject = target.get(operation) or target.get(family) or stage.living
    bodies = {
        "requests_create": {**DRAFT, **recipient},
        "requests_edit": {**DRAFT, "name": "Edited", **recipient},
        "requests_withdraw": {"comment": ""},
        "requests_approve": {"digest": digest},
        "requests_narrow": {"digest": digest, "authorised_days": 10},
        "requests_return": {"digest": digest, "question": "What for?"},
        "requests_deny": {"digest": digest, "comment": "Not like this."},
        "keys_suspend": {"reason": "investigation"},
        "keys_revoke": {"reason": "cessation-of-operation"},
        "keys_report_leak": {"comment": "in a chat"},
        "keys_renew": {"authorised_days": 300, "purpose": "The report is still needed."},
        "keys_offer_transfer": {"to_team": "orders"},
        "keys_rotate": {"overlap": "1h"},
        "keys_name_recipient": {"recipient": str(world.anna.pk)},
        "transfers_accept": {"recipient": str(world.ben.pk)},
    }
    return str(subject.pk), bodies.get(operation, {})


def send(stage, client, operation, method, path, role):
    pk, body = act(stage, operation, role)
    uid = str(AuditEvent.objects.filter(environment="prod").values_list("uid", flat=True).first())
    slug = "reporting" if operation.startswith("teams_") else "orders"
    address = path.format(id=pk, slug=slug, uid=uid)
    if method == "GET":
        return client.get(address)
    answer = getattr(client, method.lower())(address, body, format="json")
    if answer.streaming:
        list(answer.streaming_content)  # a file is open until its end
    return answer


def test_the_page_is_what_the_openapi_document_says():
    assert PAGE.read_text() == table(document()), "run manage.py document_api_roles"


@pytest.mark.parametrize(("operation", "method", "path", "role", "cell"), CELLS)
def test_each_role_gets_what_the_table_says(stage, operation, method, path, role, cell):
    answer = send(stage, stage.client(role), operation, method, path, role)
    assert answer.status_code < 300 if cell == "yes" else answer.status_code == int(cell), answer
    if cell != "yes":
        assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("operation", "method", "path"), OPERATIONS)
def test_nobody_gets_401(stage, operation, method, path):
    answer = send(stage, stage.client("nobody"), operation, method, path, "developer")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="keystead"'


@pytest.mark.parametrize(("operation", "method", "path"), OPERATIONS)
def test_a_program_of_another_team_sees_nothing_of_ours(stage, operation, method, path):
    client = stage.as_program(stage.strange_program)
    answer = send(stage, client, operation, method, path, "developer")
    if "{id}" in path:
        assert answer.status_code in {403, 404}
    if not operation.startswith("events_"):  # who may read the log reads what happened in its environment
        said = {name: value for name, value in answer.json().items() if name != "instance"}
        assert str(stage.living.pk) not in str(said)


@pytest.mark.parametrize(("operation", "method", "path"), OPERATIONS)
def test_a_key_that_only_verifies_may_call_nothing_else(stage, operation, method, path):
    client = stage.as_program(stage.program, "keys:verify")
    answer = send(stage, client, operation, method, path, "developer")
    assert answer.status_code == (200 if operation == "me_retrieve" else 403)


@pytest.mark.parametrize(("operation", "method", "path"), OPERATIONS)
def test_what_is_hidden_answers_like_what_does_not_exist(stage, operation, method, path):
    """The same bytes, but for the request id and the address that was asked for."""
    if "{id}" not in path:
        return
    client = stage.client("stranger")
    pk, body = act(stage, operation, "stranger")
    nothing = pk[:-4] + "0000"

    def said(name):
        method_of = getattr(client, method.lower())
        address = path.format(id=name)
        answer = method_of(address) if method == "GET" else method_of(address, body, format="json")
        text = re.sub(r'"request_id":"[^"]*"|"instance":"[^"]*"', "", answer.content.decode())
        return answer.status_code, text, sorted(answer.headers)

    assert said(pk) == said(nothing)
    assert said(pk)[0] == 404


def test_a_refusal_of_a_program_is_on_record_once(stage):
    before = AuditEvent.objects.with_action("access.denied").count()
    stage.client("program").post(f"/api/v1/requests/{stage.pending.pk}/approve", {}, format="json")
    denied = AuditEvent.objects.with_action("access.denied").newest_first()
    assert denied.count() == before + 1
    assert denied[0].actor_id == str(stage.program.pk)


def test_people_need_the_step_up_of_the_act(stage):
    for operation, method, path, _ in rows():
        if operation in {"requests_approve", "keys_suspend", "keys_revoke", "versions_claim"}:
            role = "approver" if operation == "requests_approve" else "developer"
            person = stage.world.bob if role == "approver" else stage.world.alice
            answer = send(stage, stage.as_person(person, "export"), operation, method, path, role)
            assert (answer.status_code, answer.json()["code"]) == (403, "step_up_required"), operation
            assert answer.json()["rule"]


def test_the_command_writes_the_page(settings, tmp_path):
    (tmp_path / "docs").mkdir()
    settings.BASE_DIR = tmp_path
    call_command("document_api_roles", verbosity=0)
    assert (tmp_path / "docs" / "api-roles.md").read_text() == PAGE.read_text()


@pytest.mark.parametrize("operation", ["keys_revoke", "requests_withdraw", "transfers_accept"])
def test_an_act_on_what_one_may_not_see_is_one_denial_on_record(stage, operation):
    method, path = next((method, path) for name, method, path, _ in rows() if name == operation)
    before = AuditEvent.objects.with_action("access.denied").count()
    answer = send(stage, stage.client("stranger"), operation, method, path, "developer")
    assert answer.status_code == 404
    assert AuditEvent.objects.with_action("access.denied").count() == before + 1
