"""Read the log, open one event, take events out as a file: each decided by the policy and each on record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from django.db import connection

from audit import clock
from audit.actor import Actor, ActorKind
from audit.events import LogRead
from audit.exporters.manifest import Manifest, export
from audit.log import record
from audit.models import AuditEvent
from audit.queries import Position
from keys.errors import NotFound
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
    """Some events, newest first, with their private parts where those still exist; `following` is where to go on."""

    events: list[AuditEvent]
    following: Position | None


def decide_reading(actor: Actor) -> datetime:
    """Let only those read who may; for everybody else the log does not exist. Part of a larger operation."""
    at = clock.now()
    enforce(may_read_log(standing_of(actor, at=at)), hidden=True)
    return at


def _within_reach(search: LogSearch, actor: Actor) -> LogSearch:
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
def search_log(search: LogSearch, *, actor: Actor, after: Position | None = None, size: int = PAGE_SIZE) -> LogPage:
    """Return a page of what `search` looks for, and put the search on record: one event, however many rows."""
    at = decide_reading(actor)
    search = _within_reach(search, actor)
    found = list(search.select().select_related("private").page_after(after)[: size + 1])
    events = found[:size]
    searched = search.told() | ({"after": f"{after.occurred_at.isoformat()} {after.id}"} if after else {})
    record(LogRead(target_id=LOG, searched=searched, shown=len(events)), actor=actor, at=at)
    return LogPage(events=events, following=Position.of(events[-1]) if len(found) > size else None)


@operation
def read_event(uid: UUID, *, actor: Actor) -> AuditEvent:
    """Return one event, and put that it was opened on record."""
    at = decide_reading(actor)
    event = _within_reach(LogSearch(), actor).select().select_related("private").filter(uid=uid).first()
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
    search = _within_reach(search, actor)
    manifest = export(search.select(), form=form, into=into, searched=search.told(), actor=actor, at=at)
    record(manifest.event(), actor=actor, at=at)
    return manifest
