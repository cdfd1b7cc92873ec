"""Every event has its place in OCSF 1.2; the numbers below are copied from the published schema (schema.ocsf.io/1.2.0)."""

import json
from datetime import UTC, datetime

import pytest

import keys.tasks  # noqa: F401 - every floor's events are in the catalogue
import portal.events  # noqa: F401 - these too
from audit.actor import Actor, ActorKind, Auth, RequestFacts
from audit.envelope import enclose
from audit.events import Outcome, Severity, catalogue
from audit.exporters import ocsf
from tests.audit.things import ALICE, ThingChanged

AT = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)

# class_uid -> (category_uid, caption, activities, attributes it requires beyond those of every event)
PUBLISHED = {
    2004: (2, "Detection Finding", {1: "Create", 2: "Update", 3: "Close"}, {"finding_info"}),
    3001: (
        3,
        "Account Change",
        {
            1: "Create", 2: "Enable", 3: "Password Change", 4: "Password Reset", 5: "Disable", 6: "Delete",
            7: "Attach Policy", 8: "Detach Policy", 9: "Lock", 10: "MFA Factor Enable", 11: "MFA Factor Disable",
        },
        {"user"},
    ),
    3002: (3, "Authentication", {1: "Logon", 2: "Logoff", 6: "Preauth"}, {"user", "service"}),
    6002: (6, "Application Lifecycle", {1: "Install", 2: "Remove", 3: "Start", 4: "Stop"}, {"app"}),
    6003: (6, "API Activity", {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}, {"actor", "api", "src_endpoint"}),
    6005: (
        6,
        "Datastore Activity",
        {1: "Read", 2: "Update", 3: "Connect", 4: "Query", 5: "Write", 6: "Create", 7: "Delete", 8: "List"},
        {"actor", "src_endpoint", "database"},
    ),
}  # fmt: skip
REQUIRED = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
BASE = {
    "activity_id", "activity_name", "category_uid", "category_name", "class_uid", "class_name", "type_uid", "type_name",
    "time", "severity_id", "severity", "status_id", "status", "status_code", "message", "metadata", "actor", "unmapped",
}  # fmt: skip
OPTIONAL = {
    2004: {"resources"}, 3001: set(), 3002: {"is_mfa"}, 6002: set(), 6003: {"http_request", "resources"},
    6005: {"http_request", "type", "type_id"},
}  # fmt: skip
SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}


def payload_of(action, *, outcome="success", actor=ALICE):
    """The payload of a made-up event of this action: what all events share is what the translation reads."""
    sealed = enclose(ThingChanged(target_id="t1", correlation="c1", count=3), actor=actor, at=AT)
    event = catalogue()[action]
    facts = json.loads(sealed.payload)
    return facts | {
        "action": action,
        "severity": str(event.severity),
        "outcome": outcome,
        "target": {"type": event.target_type, "id": "t1", "version": ""},
    }


@pytest.mark.parametrize("action", sorted(action for action in catalogue() if not action.startswith("thing.")))
def test_every_event_is_what_the_published_class_asks_for(action):
    event = ocsf.translated(payload_of(action))
    category, caption, activities, demanded = PUBLISHED[event["class_uid"]]
    assert (event["category_uid"], event["class_name"]) == (category, caption)
    assert activities.get(event["activity_id"]) == event["activity_name"] or event["activity_id"] == 99
    assert event["activity_name"]
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert SEVERITIES[event["severity_id"]] == event["severity"]
    assert REQUIRED | demanded <= event.keys()
    assert event.keys() <= BASE | demanded | OPTIONAL[event["class_uid"]]
    assert event["metadata"]["version"] == "1.2.0"
    assert event["metadata"]["product"]["vendor_name"] == "Keystead"
    assert event["time"] == 1777638615123


def test_every_class_that_events_name_is_one_of_ocsf():
    assert {each.ocsf_class for each in catalogue().values()} <= ocsf.CLASSES.keys()
    assert {name: each.uid for name, each in ocsf.CLASSES.items()} == {
        caption: uid for uid, (_, caption, _, _) in PUBLISHED.items()
    }
    for each in ocsf.CLASSES.values():
        published = PUBLISHED[each.uid][2]
        assert {number: name for name, number in each.activities.items()}.items() <= published.items()


@pytest.mark.parametrize(
    ("action", "activity"),
    [
        ("key.created", "Create"),
        ("request.submitted", "Create"),
        ("key.revoked", "Update"),
        ("version.destroyed", "Delete"),
        ("version.issued", "Read"),
        ("sign-in.refused", "Logon"),
        ("session.ended", "Logoff"),
        ("password.changed", "Password Change"),
        ("passkey.enrolled", "MFA Factor Enable"),
        ("audit.log-read", "Query"),
        ("audit.log-exported", "Read"),
        ("audit.log-pruned", "Delete"),
        ("step-up.completed", "completed"),
    ],
)
def test_activities_are_what_a_reader_of_alerts_expects(action, activity):
    assert ocsf.activity_of(action)[1] == activity


@pytest.mark.parametrize(
    ("outcome", "status"), [("success", 1), ("failure", 2), ("denied", 2), ("error", 2), ("intent", 99)]
)
def test_the_outcome_is_the_status(outcome, status):
    event = ocsf.translated(payload_of("key.revoked", outcome=outcome))
    assert event["status_id"] == status
    assert event["unmapped"]["outcome"] == outcome


def test_nothing_of_the_payload_is_lost():
    person = Actor(
        kind=ActorKind.PERSON,
        id="7",
        session="5e55",
        auth=Auth(mfa=True, methods=("pwd", "passkey"), at=AT),
        http=RequestFacts(id="r1", method="POST", route="keys/<int:number>/revoke/", ip="192.0.2.9"),
    )
    payload = payload_of("key.revoked", actor=person)
    event = ocsf.translated(payload, leaf=41)
    assert event["metadata"]["sequence"] == 41
    assert event["metadata"]["uid"] == payload["uid"]
    assert event["actor"] == {
        "user": {"uid": "7", "type_id": 1, "type": "User"},
        "session": {"uid": "5e55", "is_mfa": True},
    }
    assert event["unmapped"]["details"] == {"count": 3}
    assert event["unmapped"]["private"] == payload["private"]
    assert event["resources"] == [{"uid": "t1", "type": "key"}]
    assert "192.0.2.9" not in json.dumps(event)


def test_an_action_that_left_the_catalogue_is_still_told():
    gone = payload_of("key.revoked") | {"action": "thing.abolished"}
    event = ocsf.translated(gone)
    assert (event["class_uid"], event["message"]) == (6003, "thing.abolished")


def test_severities_are_those_of_the_catalogue():
    assert {str(each): ocsf._SEVERITIES[each] for each in Severity} == {
        "informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5
    }  # fmt: skip
    assert set(ocsf._STATUS) <= set(Outcome)
