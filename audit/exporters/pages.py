"""Read any number of events in constant memory."""

from collections.abc import Iterator

from audit.models import AuditEvent
from audit.queries import AuditEventQuerySet, Position

PAGE = 1_000


def oldest_first(events: AuditEventQuerySet, *, size: int = PAGE) -> Iterator[AuditEvent]:
    """Yield what `events` selects, oldest first, in keyset pages; nothing recorded after the first page is included."""
    last = events.order_by("-id").values_list("id", flat=True).first()
    if last is None:
        return
    events = events.filter(id__lte=last)
    position: Position | None = None
    while True:
        page = list(events.page_before(position)[:size])
        yield from page
        if len(page) < size:
            return
        position = Position.of(page[-1])
