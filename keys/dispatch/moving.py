"""Send a reader of the log back, so that it reacts again: from the server's shell, and on record."""

from __future__ import annotations

from audit import clock
from audit.actor import Actor, ActorKind
from audit.log import record
from keys.errors import Denied, Invalid
from keys.events import ReaderMoved
from keys.models import DispatchCursor
from keys.operations import operation
from keys.text import line


@operation
def move_reader_back(reader: str, *, to_leaf: int, actor: Actor, reason: str) -> DispatchCursor:
    """Let `reader` read again from `to_leaf` on. Only back: to go forward would be to leave people untold.

    Nobody is told twice of one event: reactions know what they did.
    """
    if actor.kind not in (ActorKind.OPERATOR, ActorKind.SYSTEM):
        raise Denied("shell_only", rule="dispatch.shell")
    why = line(reason, "reason", most=200, least=10)
    place = DispatchCursor.objects.select_for_update().filter(reader=reader).first()
    if place is None:
        raise Invalid.field("reader", "unknown_choice", choices=readers())
    at = clock.now()
    if not 0 <= to_leaf < place.next_leaf:
        raise Invalid.field("to_leaf", "out_of_range", least=0, most=place.next_leaf - 1)
    record(ReaderMoved(target_id=reader, from_leaf=place.next_leaf, to_leaf=to_leaf, comment=why), actor=actor, at=at)
    place.next_leaf, place.moved_at = to_leaf, at
    place.save(update_fields=["next_leaf", "moved_at"])
    return place


def readers() -> list[str]:
    """The names of those who have begun to read."""
    return list(DispatchCursor.objects.order_by("reader").values_list("reader", flat=True))
