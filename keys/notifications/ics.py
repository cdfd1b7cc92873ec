"""Write a calendar as RFC 5545 asks: escaped, folded at 75 octets, in UTC, with names that stay. Plain Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

CONTENT_TYPE: Final = "text/calendar; charset=utf-8"
PRODUCT: Final = "-//Keystead//Keystead//EN"
LONGEST_LINE: Final = 75  # octets, without the end of the line (section 3.1)
REFRESH: Final = "PT6H"
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# A calendar has at least one component (section 3.6); an empty one has the time zone that ours are in anyway.
_UTC_ZONE: Final = (
    "BEGIN:VTIMEZONE",
    "TZID:UTC",
    "BEGIN:STANDARD",
    "DTSTART:19700101T000000",
    "TZOFFSETFROM:+0000",
    "TZOFFSETTO:+0000",
    "END:STANDARD",
    "END:VTIMEZONE",
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One instant in a calendar. `uid` names it for ever; `born_at` and `changed_at` order its revisions."""

    uid: str
    at: datetime
    summary: str
    description: str
    url: str
    born_at: datetime
    changed_at: datetime

    @property
    def sequence(self) -> int:
        """The seconds from its birth to its last change: it grows with every change and needs no counter."""
        return max(int((self.changed_at - self.born_at).total_seconds()), 0)


def written(name: str, entries: Iterable[Entry]) -> bytes:
    """The whole file. The same entries give the same bytes: nothing in it says when it was asked for."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{PRODUCT}",
        "CALSCALE:GREGORIAN",
        f"NAME:{escaped(name)}",
        f"X-WR-CALNAME:{escaped(name)}",
        f"REFRESH-INTERVAL;VALUE=DURATION:{REFRESH}",
    ]
    events = [line for entry in entries for line in _event(entry)]
    lines += [*(events or _UTC_ZONE), "END:VCALENDAR"]
    return b"".join(folded(line) + b"\r\n" for line in lines)


def _event(entry: Entry) -> Sequence[str]:
    return (
        "BEGIN:VEVENT",
        f"UID:{escaped(entry.uid)}",
        f"DTSTAMP:{_moment(entry.changed_at)}",
        f"DTSTART:{_moment(entry.at)}",
        f"SUMMARY:{escaped(entry.summary)}",
        f"DESCRIPTION:{escaped(entry.description)}",
        f"URL:{entry.url}",
        f"CREATED:{_moment(entry.born_at)}",
        f"LAST-MODIFIED:{_moment(entry.changed_at)}",
        f"SEQUENCE:{entry.sequence}",
        "TRANSP:TRANSPARENT",  # an end is no appointment: nobody is busy then
        "END:VEVENT",
    )


def escaped(text: str) -> str:
    """A value of type TEXT (section 3.3.11); control characters are not allowed at all."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = _CONTROLS.sub("", lines).replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return plain.replace("\n", "\\n")


def folded(line: str) -> bytes:
    """One content line as octets, folded where it is too long and never inside of a character."""
    pieces: list[bytes] = []
    piece = b""
    for character in line:
        octets = character.encode("utf-8")
        if len(piece) + len(octets) > LONGEST_LINE:
            pieces.append(piece)
            piece = b" "
        piece += octets
    return b"\r\n".join([*pieces, piece])


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
