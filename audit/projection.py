"""Read from a payload what the columns of its event must say, and the commitment to its private part.

Nearly every payload is as audit.envelope wrote it, and a single pattern knows that at a third of the price of reading JSON.
What the pattern does not know is read with care.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

from audit.canonical import JsonValue, parse_strict

COLUMNS = (
    "action", "actor_id", "actor_type", "environment", "outcome", "request_id", "target_id", "target_type", "occurred_at",
    "uid",
)  # fmt: skip
"""The projected columns, in the order in which a payload names them."""
_TIME_LENGTH = len("2026-01-01T00:00:00.000Z")


def read_payload(payload: bytes) -> tuple[tuple[str, ...], str]:
    """Return what COLUMNS must say, as texts with times to the microsecond, and the commitment to the private part.

    Raise ValueError when it is no event in strict JSON.
    """
    try:
        found = _match(payload.decode())
    except UnicodeDecodeError:
        found = None
    if found is None:
        return _carefully(payload)
    (action, actor_id, actor_type, change, details, environment, outcome, commitment, request_id, target_id, target_type,
     time, uid) = found.groups()  # fmt: skip
    if not (_is_plain(change) and _is_plain(details)):
        return _carefully(payload)
    told = (
        action, actor_id, actor_type, environment, outcome, request_id, target_id, target_type, f"{time}000Z", uid,
    )  # fmt: skip
    return told, commitment


def _carefully(payload: bytes) -> tuple[tuple[str, ...], str]:
    envelope = parse_strict(payload)
    uid, time = _text(envelope, "uid"), _text(envelope, "time")
    if len(time) != _TIME_LENGTH or not time.endswith("Z"):  # milliseconds, as every event has them
        time = datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    else:
        time = f"{time[:-1]}000Z"
    actor, target, request = (_object(envelope, name) for name in ("actor", "target", "request"))
    told = (
        _text(envelope, "action"), _text(actor, "id"), _text(actor, "type"), _text(envelope, "environment"),
        _text(envelope, "outcome"), _text(request, "id"), _text(target, "id"), _text(target, "type"), time, str(UUID(uid)),
    )  # fmt: skip
    return told, _text(_object(envelope, "private"), "commitment")


def _object(value: JsonValue, name: str) -> JsonValue:
    """Return what is called `name`, or None."""
    return value.get(name) if isinstance(value, dict) else None


def _text(value: JsonValue, name: str) -> str:
    """Return the text that is called `name`, or an empty one."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


# --- The pattern: a subset of what parse_strict takes, and of it only what has one reading ---------------------------------
# Possessive throughout: whatever does not fit fails at once.
_PLAIN = r'"[^"\\\x00-\x1f]*+"'
_TEXT = r'"[^"\\\x00-\x1f]*+(?:\\["\\bfnrt][^"\\\x00-\x1f]*+)*+"'
_NAME = r'"[A-Za-z0-9_.-]++":'
_SCALAR = rf"(?:{_TEXT}|null|true|false|0|-?[1-9][0-9]{{0,14}})"


def _told(pattern: str = _PLAIN) -> str:
    """Capture a text without its quotes."""
    return f'"({pattern[1:-1]})"'


def _list_of(value: str) -> str:
    return rf"\[(?:{value}(?:,{value})*+)?+\]"


def _object_of(value: str) -> str:
    return rf"\{{(?:{_NAME}{value}(?:,{_NAME}{value})*+)?+\}}"


def _nested(depth: int) -> str:
    """Match a value that is nested so deep at most."""
    inner = _nested(depth - 1) if depth else _SCALAR
    return rf"(?:{_SCALAR}|{_list_of(inner)}|{_object_of(inner)})" if depth else inner


def _envelope() -> str:
    deputed = rf'(?:null|\{{"id":{_PLAIN},"type":{_PLAIN}\}})'
    auth = rf'\{{"age":{_SCALAR},"assurance":{_PLAIN},"device":{_PLAIN},"methods":{_list_of(_PLAIN)},"mfa":(?:true|false)\}}'
    policy = rf'(?:null|\{{"rule":{_PLAIN},"version":{_PLAIN}\}})'
    return (
        rf'\{{"action":{_told()},"actor":\{{"id":{_told()},"session":{_PLAIN},"type":{_told()}\}},"app":{_PLAIN},'
        rf'"approvals":{_list_of(_PLAIN)},"auth":{auth},"change":({_object_of(_nested(2))}),"correlation":{_PLAIN},'
        rf'"details":({_object_of(_nested(2))}),"environment":{_told()},"on_behalf_of":{deputed},"outcome":{_told()},'
        rf'"policy":{policy},"private":\{{"alg":"sha-256","commitment":{_told()}\}},"reason":{_PLAIN},'
        rf'"request":\{{"id":{_told()},"method":{_PLAIN},"route":{_PLAIN},"task":{_PLAIN}\}},"severity":{_PLAIN},'
        rf'"target":\{{"id":{_told()},"type":{_told()},"version":{_PLAIN}\}},'
        r'"time":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3})Z",'
        r'"uid":"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})","version":1\}'
    )


_match = re.compile(_envelope()).fullmatch
_names = re.compile(r'"([A-Za-z0-9_.-]++)":').findall


def _is_plain(part: str) -> bool:
    """Tell whether no name is twice in an object that the pattern knows; one that is in two of them says no too."""
    if part == "{}":
        return True
    names = _names(part)
    return len(set(names)) == len(names)
