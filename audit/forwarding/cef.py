"""Write an event in the Common Event Format, version 0 of the header, with the escapes that the format asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from audit.events import Severity, catalogued
from audit.forwarding.base import SealedEvent

_SEVERITIES: Final[Mapping[str, int]] = {
    Severity.INFORMATIONAL: 1,
    Severity.LOW: 3,
    Severity.MEDIUM: 5,
    Severity.HIGH: 8,
    Severity.CRITICAL: 10,
}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# The dictionary of the format lets a custom string be so long.
_LONGEST: Final = 4_000


def header_value(text: str) -> str:
    """Escape a field before the extension: backslash and pipe; a line ends nowhere in it."""
    return _CONTROL.sub(" ", " ".join(text.split())).replace("\\", "\\\\").replace("|", "\\|")


def extension_value(text: str) -> str:
    """Escape a value of the extension: backslash, equals sign, ends of lines."""
    plain = _CONTROL.sub(" ", text[:_LONGEST]).replace("\\", "\\\\").replace("=", "\\=")
    return plain.replace("\r", "\\r").replace("\n", "\\n")


def line(event: SealedEvent) -> str:
    """Return the event as one line."""
    facts = event.facts
    head = ("CEF:0", "Keystead", "Keystead", str(facts["app"]), str(facts["action"]), _words(str(facts["action"])))
    first, *rest = head
    fields = "|".join([first, *map(header_value, rest), str(_SEVERITIES[Severity(facts["severity"])])])
    told = {name: value for name, value in _extension(event).items() if value}
    return f"{fields}|{' '.join(f'{name}={extension_value(value)}' for name, value in told.items())}"


def _words(action: str) -> str:
    event = catalogued(action)
    return (event.__doc__ or action).strip().splitlines()[0].rstrip(".") if event is not None else action


def _extension(event: SealedEvent) -> dict[str, str]:
    facts: dict[str, Any] = event.facts
    at = datetime.fromisoformat(str(facts["time"]))
    target, details = facts["target"], facts["details"] or facts["change"]
    return {
        "rt": f"{int(at.timestamp()) * 1000 + at.microsecond // 1000}",
        "externalId": str(facts["uid"]),
        "cn1Label": "leaf",
        "cn1": str(event.leaf),
        "suid": str(facts["actor"]["id"]),
        "cs1Label": "actorType",
        "cs1": str(facts["actor"]["type"]),
        "cs2Label": "target",
        "cs2": f"{target['type']}:{target['id']}",
        "outcome": str(facts["outcome"]),
        "reason": str(facts["reason"]),
        "requestMethod": str(facts["request"]["method"]),
        "cs3Label": "environment" if facts["environment"] else "",
        "cs3": str(facts["environment"]),
        "cs4Label": "requestId" if facts["request"]["id"] else "",
        "cs4": str(facts["request"]["id"]),
        "cs5Label": "details" if details else "",
        "cs5": json.dumps(details, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if details else "",
    }
