"""Export events as OCSF, the common words of security tools: class, activity, severity, actor and what was acted on.

OCSF is a translation: what it has no word for is in `unmapped`, so nothing of the payload is lost, and the payload's
uid is `metadata.uid`. Personal data is not in payloads, so addresses and names are not here either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from audit.canonical import parse_strict
from audit.events import Outcome, Severity, catalogued

FORM = "ocsf"
CONTENT_TYPE = "application/jsonl"
SCHEMA: Final = "1.2.0"
OTHER: Final = 99

Facts = dict[str, Any]  # Any: a payload or an OCSF object, nested JSON


class OcsfClass(NamedTuple):
    """A class of OCSF 1.2 and those of its activities that happen here."""

    category: int
    category_name: str
    number: int
    activities: Mapping[str, int]

    @property
    def uid(self) -> int:
        """Its number among all classes."""
        return self.category * 1000 + self.number


_IAM, _FINDINGS, _APPLICATION = "Identity & Access Management", "Findings", "Application Activity"
CLASSES: Final[Mapping[str, OcsfClass]] = {
    "Account Change": OcsfClass(
        3,
        _IAM,
        1,
        {
            "Create": 1, "Enable": 2, "Password Change": 3, "Password Reset": 4, "Disable": 5, "Delete": 6,
            "MFA Factor Enable": 10, "MFA Factor Disable": 11,
        },
    ),
    "Authentication": OcsfClass(3, _IAM, 2, {"Logon": 1, "Logoff": 2}),
    "Detection Finding": OcsfClass(2, _FINDINGS, 4, {"Create": 1}),
    "Application Lifecycle": OcsfClass(6, _APPLICATION, 2, {"Start": 3}),
    "API Activity": OcsfClass(6, _APPLICATION, 3, {"Create": 1, "Read": 2, "Update": 3, "Delete": 4}),
    "Datastore Activity": OcsfClass(6, _APPLICATION, 5, {"Read": 1, "Update": 2, "Query": 4, "Create": 6, "Delete": 7}),
}  # fmt: skip
DEFAULT: Final = "API Activity"

# What the participle of an action is called by the classes that speak of creating, reading, changing and deleting.
_CREATED = frozenset(
    ("created", "submitted", "invited", "made", "offered", "added", "named", "given", "proposed", "versioned", "placed",
     "requested", "enrolled", "saved")
)  # fmt: skip
_READ = frozenset(("read", "downloaded", "exported", "verified", "issued", "claim-repeated"))
_DELETED = frozenset(("destroyed", "erased", "removed", "pruned", "voided", "withdrawn", "expired"))
# Accounts and sign-ins have activities of their own. What is not here is "Other", under our own name for it.
_SPECIAL: Final[Mapping[str, str]] = {
    "invitation.created": "Create",
    "invitation.accepted": "Enable",
    "invitation.revoked": "Disable",
    "password.chosen": "Password Change",
    "password.changed": "Password Change",
    "password.reset-requested": "Password Reset",
    "password.reset-link-made": "Password Reset",
    "password.reset-completed": "Password Reset",
    "recovery.link-ordered": "Password Reset",
    "totp.enrolled": "MFA Factor Enable",
    "passkey.enrolled": "MFA Factor Enable",
    "recovery-codes.made": "MFA Factor Enable",
    "totp.removed": "MFA Factor Disable",
    "passkey.removed": "MFA Factor Disable",
    "factor-reset.confirmed": "MFA Factor Disable",
    "sign-in.completed": "Logon",
    "sign-in.refused": "Logon",
    "sign-in.locked": "Logon",
    "second-factor.refused": "Logon",
    "second-factor.locked": "Logon",
    "recovery-codes.used": "Logon",
    "session.ended": "Logoff",
    "audit.log-read": "Query",
}
_SEVERITIES: Final = {each: number for number, each in enumerate(Severity, start=1)}
_STATUS: Final = {Outcome.SUCCESS: (1, "Success"), Outcome.INTENT: (OTHER, "intent")}
_USERS: Final = {"person": (1, "User"), "operator": (2, "Admin"), "job": (3, "System"), "system": (3, "System")}
_METHODS: Final = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"))


def lines(payloads: Iterable[bytes]) -> bytes:
    """Return one OCSF event a line."""
    return b"".join([encoded(translated(_object(payload))) + b"\n" for payload in payloads])


def encoded(event: Facts) -> bytes:
    """Return it as one line of JSON."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")


def _object(payload: bytes) -> Facts:
    value = parse_strict(payload)
    if not isinstance(value, dict):
        raise TypeError("a payload is an object")
    return dict(value)


def class_of(action: str) -> tuple[str, OcsfClass]:
    """Return the class of an action; of one that is no longer in the catalogue the general one."""
    event = catalogued(action)
    name = event.ocsf_class if event is not None else DEFAULT
    return name, CLASSES[name]


def activity_of(action: str) -> tuple[int, str]:
    """Return number and name of the activity; 99 carries our own word."""
    _, found = class_of(action)
    word = action.rpartition(".")[2]
    for name in (_SPECIAL.get(action, ""), _plain(word)):
        if name in found.activities:
            return found.activities[name], name
    return OTHER, word


def _plain(word: str) -> str:
    last = word.rpartition("-")[2]
    if {word, last} & _CREATED:
        return "Create"
    if {word, last} & _READ:
        return "Read"
    if {word, last} & _DELETED:
        return "Delete"
    return "Update"


def translated(payload: Facts, *, leaf: int | None = None) -> Facts:
    """Return one event in OCSF's words; `leaf` is its place in the log, where it is known."""
    action = str(payload["action"])
    class_name, ocsf_class = class_of(action)
    activity, activity_name = activity_of(action)
    severity, outcome = str(payload["severity"]), str(payload["outcome"])
    status, status_name = _STATUS.get(Outcome(outcome), (2, "Failure"))
    event: Facts = {
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": ocsf_class.category,
        "category_name": ocsf_class.category_name,
        "class_uid": ocsf_class.uid,
        "class_name": class_name,
        "type_uid": ocsf_class.uid * 100 + activity,
        "type_name": f"{class_name}: {activity_name}",
        "time": _milliseconds(str(payload["time"])),
        "severity_id": _SEVERITIES[Severity(severity)],
        "severity": severity.capitalize(),
        "status_id": status,
        "status": status_name,
        "status_code": payload["reason"] or outcome,
        "message": action,
        "metadata": _metadata(payload, action, leaf),
        "actor": _actor(payload),
        "unmapped": _unmapped(payload),
    }
    event.update(_of_class(class_name, payload, action))
    return event


def _milliseconds(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def _product(payload: Facts) -> Facts:
    return {"name": "Keystead", "vendor_name": "Keystead", "version": payload["app"]}


def _metadata(payload: Facts, action: str, leaf: int | None) -> Facts:
    facts: Facts = {
        "version": SCHEMA,
        "product": _product(payload),
        "uid": payload["uid"],
        "event_code": action,
        "log_name": "audit",
        "log_version": str(payload["version"]),
        "original_time": payload["time"],
    }
    if payload["correlation"]:
        facts["correlation_uid"] = payload["correlation"]
    if leaf is not None:
        facts["sequence"] = leaf
    return facts


def _user(subject: Facts) -> Facts:
    number, name = _USERS.get(str(subject["type"]), (OTHER, str(subject["type"])))
    return {"uid": subject["id"], "type_id": number, "type": name}


def _actor(payload: Facts) -> Facts:
    actor: Facts = {"user": _user(payload["actor"])}
    if payload["actor"]["session"]:
        actor["session"] = {"uid": payload["actor"]["session"], "is_mfa": payload["auth"]["mfa"]}
    return actor


def _resource(payload: Facts) -> Facts:
    target = payload["target"]
    resource = {"uid": target["id"], "type": target["type"]}
    if target["version"]:
        resource["version"] = target["version"]
    if payload["environment"]:
        resource["namespace"] = payload["environment"]
    return resource


def _source(payload: Facts) -> Facts:
    """The class demands an endpoint; the address is in the private part, so the session or the job stands for it."""
    return {"uid": payload["actor"]["session"]} if payload["actor"]["session"] else {"svc_name": _service(payload)}


def _service(payload: Facts) -> str:
    return str(payload["request"]["task"] or "keystead")


def _of_class(name: str, payload: Facts, action: str) -> Facts:
    """What a class demands beyond what all have."""
    target = payload["target"]
    whom = _user(target) if target["type"] == "person" else _user(payload["actor"])
    if name == "Account Change":
        return {"user": whom}
    if name == "Authentication":
        return {"user": whom, "service": {"name": "Keystead"}, "is_mfa": payload["auth"]["mfa"]}
    if name == "Detection Finding":
        finding = {"uid": payload["uid"], "title": action, "types": [action]}
        return {"finding_info": finding, "resources": [_resource(payload)], "status_id": 1, "status": "New"}
    if name == "Application Lifecycle":
        return {"app": _product(payload)}
    method = payload["request"]["method"]
    facts: Facts = {"src_endpoint": _source(payload)}
    if method in _METHODS:
        facts["http_request"] = {"http_method": method, "uid": payload["request"]["id"]}
    if name == "Datastore Activity":
        return facts | {
            "type_id": 1,
            "type": "Database",
            "database": {"name": target["type"], "type_id": OTHER, "type": "log"},
        }
    operation = {"operation": action, "request": {"uid": payload["request"]["id"] or payload["uid"]}}
    return facts | {"api": operation | {"service": {"name": "Keystead"}}, "resources": [_resource(payload)]}


def _unmapped(payload: Facts) -> Facts:
    """What OCSF has no place for, without what is empty."""
    names = (
        "outcome",
        "on_behalf_of",
        "auth",
        "target",
        "environment",
        "request",
        "change",
        "details",
        "approvals",
        "policy",
        "private",
    )
    return {name: payload[name] for name in names if payload[name]}
