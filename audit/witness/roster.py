"""Read from one setting who the witnesses are: a JSON list of back ends by dotted path, with their options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.module_loading import import_string

from audit.notes import NoteError
from audit.witness.base import Witness


class RosterError(ValueError):
    """The setting names no witnesses that could be asked."""


def read_roster(text: str) -> list[tuple[type[Witness], Mapping[str, Any]]]:
    """Return back ends and options; nothing is opened yet (Any: options are the back end's business)."""
    try:
        entries = json.loads(text or "[]")
    except ValueError as error:
        raise RosterError("KEYSTEAD_WITNESSES is no JSON") from error
    if not isinstance(entries, list):
        raise RosterError("KEYSTEAD_WITNESSES is no list")
    return [_one(each) for each in entries]


def _one(entry: object) -> tuple[type[Witness], Mapping[str, Any]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("backend"), str):
        raise RosterError("each of KEYSTEAD_WITNESSES is an object that names its `backend`")
    try:
        backend = import_string(entry["backend"])
    except ImportError as error:
        raise RosterError(f"there is no back end {entry['backend']}: {error}") from error
    if not (isinstance(backend, type) and issubclass(backend, Witness)):
        raise RosterError(f"{entry['backend']} is no witness")
    return backend, {name: value for name, value in entry.items() if name != "backend"}


def witnesses_of(text: str) -> list[Witness]:
    """Make the witnesses; raise RosterError for what cannot be one, and for two of the same name."""
    found = []
    for backend, options in read_roster(text):
        try:
            found.append(backend(**options))
        except (TypeError, ValueError, NoteError, OSError) as error:
            raise RosterError(f"{backend.__name__} cannot be set up: {error}") from error
    names = [each.name for each in found]
    if len(set(names)) != len(names):
        raise RosterError("two witnesses have the same name")
    return found


def is_elsewhere(backend: type[Witness], options: Mapping[str, Any]) -> bool:
    """Tell whether the entry says that this witness outlives our host (Any: as above)."""
    said = options.get("elsewhere")
    return backend.is_elsewhere if said is None else bool(said)


def any_elsewhere(entries: Sequence[tuple[type[Witness], Mapping[str, Any]]]) -> bool:
    """Tell whether one of them does."""
    return any(is_elsewhere(backend, options) for backend, options in entries)
