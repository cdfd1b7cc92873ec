"""Read the change that comes with a ring: signed, and of use only where it follows on what is held."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from keystead_client.ed25519 import check, from_base64url, public_key
from keystead_client.snapshots import pinned

_SIGNED: Final = b"keystead event v1\n"
_MEMBERS: Final = ("changes", "position", "since")


class Event(NamedTuple):
    """All that became of the keys of one place after `since` and up to `position`."""

    since: str
    position: str
    changes: Sequence[Mapping[str, Any]]


def read_event(text: str, *, keys: Mapping[str, str], place: tuple[str, str]) -> Event | None:
    """Read an event under the pinned keys; None: it only rings. `place` is the service and the environment that are held.

    Raises IntegrityError; KeyError, TypeError or ValueError for what is no event at all.
    """
    value = json.loads(text)
    if "signature" not in value:
        return None
    told = {name: value[name] for name in _MEMBERS}
    message = _SIGNED + f"{place[0]}\n{place[1]}\n{canonical(told)}".encode()
    check(public_key(pinned(keys, value["kid"])), from_base64url(value["signature"]), message)
    return Event(told["since"], told["position"], told["changes"])


def canonical(value: object) -> str:
    """Write what Keystead signed as it was signed (RFC 8785: names are ASCII, numbers whole)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def reaches(here: str, there: str) -> bool:
    """Whether whoever stands here knows all that is known there; raises ValueError for what is no position.

    A position says which transactions it knows: all below its end but those that were open (PostgreSQL's pg_snapshot).
    """
    if here == there:
        return True
    past, end, still_open = _read(here)
    other_past, other_end, open_there = _read(there)
    return past == other_past and other_end <= end and open_there.issuperset(x for x in still_open if x < other_end)


def _read(position: str) -> tuple[str, int, set[int]]:
    numbers, _, past = position.partition("@")
    _, end, still_open = numbers.split(":")
    return past, int(end), {int(number) for number in still_open.split(",") if number}
