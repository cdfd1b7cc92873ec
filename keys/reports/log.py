"""Read the log, open one event, take events out as a file: each decided by the policy and each on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import connection

from audit import clock
from audit.actor import Actor, ActorKind
from audit.events import LogRead
from audit.exporters.manifest import Manifest, export
from audit.log import record
from audit.models import AuditEvent
from audit.queries import Position
from audit.reading import ReadEvents, read_events, read_page
from audit.scanning import Found
from audit.seals import LeafPlace
from keys.errors import Conflict, NotFound
from keys.models import ManagedKey
from keys.operations import operation
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.rules import may_read_log
from keys.policy.step_up import needs_step_up
from keys.reports.searches import LogSearch

PAGE_SIZE = 50
LOG = "log"


@dataclass(frozen=True, kw_only=True)
class LogPage:
    """Some events, newest first, with their private parts where those still exist, and their places in the sealed log by event.

    `following` is where older events go on, `preceding` where newer ones do. `looked_until`: patience ended there before
    the page was full; whoever goes on looks further.
    """

    events: list[AuditEvent]
    sealed: Mapping[int, LeafPlace]
    following: Position | None
    preceding: Position | None = None
    looked_until: Position | None = None


def decide_reading(actor: Actor) -> datetime:
    """Let only those read who may; for everybody else the log does not exist. Part of a larger operation."""
    at = clock.now()
    enforce(may_read_log(standing_of(actor, at=at)), hidden=True)
    return at


def within_reach(search: LogSearch, actor: Actor) -> LogSearch:
    """A program reads what happened in its own environment, whatever it searches for."""
    if actor.kind != ActorKind.PROGRAM:
        return search
    return replace(
        search, environment=ManagedKey.objects.select_related("environment").get(pk=actor.id).environment.tag
    )


@operation
def enter_log(*, actor: Actor) -> None:
    """Let only those to the forms of the log who may read it; nothing is read yet, so nothing but a refusal is on record."""
    decide_reading(actor)


@operation
def search_log(
    search: LogSearch, *, actor: Actor, after: Position | None = None, newer: bool = False, size: int = PAGE_SIZE
) -> LogPage:
    """Return a page of what `search` looks for, and put the search on record: one event, however many rows.

    The page goes on from `after`: back in time, or with `newer` forward. It is found in bounded time (audit.scanning), so
    it may be short of `size` and still have a `following`.
    """
    at = decide_reading(actor)
    search = within_reach(search, actor)
    page = find_events(search, after=after, newer=newer, size=size)
    searched = search.told()
    if after is not None:
        searched["newer than" if newer else "after"] = f"{after.occurred_at.isoformat()} {after.id}"
    record(LogRead(target_id=LOG, searched=searched, shown=len(page.events)), actor=actor, at=at)
    return page


def find_events(
    search: LogSearch, *, after: Position | None = None, newer: bool = False, size: int = PAGE_SIZE
) -> LogPage:
    """Return a page as `search_log` does, for anybody and off the record: part of a larger operation."""
    (events, sealed), found = _read(search, after=after, newer=newer, size=size)
    older, younger = (found.places[-1], found.places[0]) if found.places else (None, None)
    onward = found.stopped_at or ((younger if newer else older) if found.has_more else None)
    back = (older if newer else younger) or after
    return LogPage(
        events=events,
        sealed=sealed,
        following=back if newer else onward,
        preceding=onward if newer else back if after else None,
        looked_until=found.stopped_at,
    )


def _read(search: LogSearch, *, after: Position | None, newer: bool, size: int) -> tuple[ReadEvents, Found]:
    if search.sample is None:
        return read_page(search.question(), after=after, newer=newer, size=size)
    # A sample is a few hundred events that are known by their places.
    rows = search.select().page_before(after) if newer else search.select().page_after(after)
    places = [Position(occurred_at=at, id=number) for at, number in rows.values_list("occurred_at", "id")[: size + 1]]
    shown = places[:size][::-1] if newer else places[:size]
    return read_events([place.id for place in shown]), Found(places=shown, has_more=len(places) > size)


@operation
def read_event(uid: UUID, *, actor: Actor) -> AuditEvent:
    """Return one event, and put that it was opened on record."""
    at = decide_reading(actor)
    event = within_reach(LogSearch(), actor).select().select_related("private").filter(uid=uid).first()
    if event is None:
        raise NotFound
    record(LogRead(target_id=LOG, searched={"event": str(uid)}, shown=1), actor=actor, at=at)
    return event


@operation
def export_log(search: LogSearch, *, form: str, into: BinaryIO, actor: Actor) -> Manifest:
    """Write what `search` selects to `into`, and put the export with its count and hash on record.

    One snapshot of the database for all pages: what commits meanwhile is in none of them (DESIGN, invariant 13).
    """
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    at = decide_reading(actor)
    enforce(needs_step_up(actor, "export", at=at))
    search = within_reach(search, actor)
    at_once = settings.KEYSTEAD_EXPORT_AT_ONCE
    if search.select()[: at_once + 1].count() > at_once:
        raise Conflict("export_too_large", most=at_once)  # a worker makes it: keys.reports.exports
    manifest = export(search.select(), form=form, into=into, searched=search.told(), actor=actor, at=at)
    record(manifest.event(), actor=actor, at=at)
    return manifest
