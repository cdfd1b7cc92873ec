"""Export events as CSV for people with spreadsheets; no cell is a formula."""

import csv
import io
from collections.abc import Iterable

from audit.canonical import JsonValue, canonical_json, parse_strict

FORM = "csv"
CONTENT_TYPE = "text/csv; charset=utf-8"

# A spreadsheet runs a cell that begins so (OWASP, CSV injection); an apostrophe makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("time", ("time",)),
    ("action", ("action",)),
    ("outcome", ("outcome",)),
    ("severity", ("severity",)),
    ("actor_type", ("actor", "type")),
    ("actor_id", ("actor", "id")),
    ("on_behalf_of", ("on_behalf_of", "id")),
    ("mfa", ("auth", "mfa")),
    ("target_type", ("target", "type")),
    ("target_id", ("target", "id")),
    ("target_version", ("target", "version")),
    ("environment", ("environment",)),
    ("reason", ("reason",)),
    ("change", ("change",)),
    ("details", ("details",)),
    ("policy_rule", ("policy", "rule")),
    ("policy_version", ("policy", "version")),
    ("correlation", ("correlation",)),
    ("request_id", ("request", "id")),
    ("request_method", ("request", "method")),
    ("request_route", ("request", "route")),
    ("task", ("request", "task")),
    ("uid", ("uid",)),
)


def header() -> bytes:
    """Return the line of column names; a manifest does not count it as a row."""
    return _lines([[name for name, _ in COLUMNS]])


def lines(payloads: Iterable[bytes]) -> bytes:
    """Return one line for each payload, without the header."""
    rows = [parse_strict(payload) for payload in payloads]
    return _lines([[neutral(_text(_at(row, path))) for _, path in COLUMNS] for row in rows])


def neutral(text: str) -> str:
    """Return `text` so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _at(envelope: JsonValue, path: tuple[str, ...]) -> JsonValue:
    found = envelope
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _text(value: JsonValue) -> str:
    if value is None or value in ({}, []):
        return ""
    return value if isinstance(value, str) else canonical_json(value).decode("utf-8")


def _lines(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue().encode("utf-8")
