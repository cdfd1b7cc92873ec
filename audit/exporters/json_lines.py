"""Export events as JSON Lines: each line is the exact payload that was hashed."""

from collections.abc import Iterable, Iterator

from audit.models import AuditEvent

FORM = "jsonl"
CONTENT_TYPE = "application/jsonl"


def lines(events: Iterable[AuditEvent]) -> Iterator[bytes]:
    """Yield one line for each event; canonical JSON holds no raw line break."""
    for event in events:
        yield bytes(event.payload) + b"\n"
