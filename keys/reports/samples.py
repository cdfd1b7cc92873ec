"""Draw a sample from the log, put it on record so that it can be drawn again, and draw it again."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from audit.actor import Actor
from audit.canonical import JsonValue
from audit.checkpoints import latest_checkpoint
from audit.events import LogRead
from audit.log import record
from audit.models import AuditCheckpoint, AuditEvent, AuditLeaf
from audit.reading import read_events
from audit.sampling import ALGORITHM, Draw, draw
from audit.seals import Seal, seals_of
from keys.errors import Conflict, Invalid, NotFound
from keys.events import LogSampled
from keys.operations import operation
from keys.reports.log import LOG, decide_reading, within_reach
from keys.reports.searches import LogSearch

USUAL_SIZE, MOST_DRAWN = 25, 200
MOST_POPULATION = 250_000
"""What a web request can rank: some five seconds, in the memory of the sample alone."""
SEED = re.compile(r"[0-9A-Za-z._-]{1,64}")
_CHUNK = 5_000


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A recorded draw, and what it drew: in the order of the draw, None where an event was archived meanwhile."""

    event: AuditEvent
    facts: Mapping[str, Any]  # JSON: the details of the event
    leaves: list[int]
    drawn: list[AuditEvent | None]
    seals: Mapping[int, Seal]

    @property
    def search(self) -> LogSearch:
        return LogSearch.of(self.facts["query"])


@dataclass(frozen=True, kw_only=True)
class Redraw:
    """The same draw made anew from the seed, and whether it came out the same."""

    population: int
    sha256: str
    leaves: list[int]
    same_population: bool
    same_sample: bool


@operation
def draw_sample(search: LogSearch, *, actor: Actor, size: int = USUAL_SIZE, seed: str = "") -> UUID:
    """Draw `size` events of `search` from what is sealed now; return the event that puts seed and draw on record."""
    at = decide_reading(actor)
    search = within_reach(search, actor)
    if not 1 <= size <= MOST_DRAWN:
        raise Invalid.field("size", "out_of_range", least=1, most=MOST_DRAWN)
    if seed and not SEED.fullmatch(seed):
        raise Invalid.field("seed", "not_a_seed")
    head = latest_checkpoint()
    if head is None:
        raise Conflict("nothing_sealed")
    if search.select().order_by()[: MOST_POPULATION + 1].count() > MOST_POPULATION:
        raise Invalid.field("size", "population_too_large", most=f"{MOST_POPULATION:,}")
    chosen = seed or secrets.token_hex(16)
    made = draw(_population(search, before=head.size), seed=chosen, size=size)
    if not made.population:
        raise Invalid.field("size", "nothing_to_sample")
    event = LogSampled(
        target_id=LOG,
        algorithm=ALGORITHM,
        seed=chosen,
        seed_chosen=bool(seed),
        searched=search.told(),
        query=search.kept(),
        checkpoint=head.size,
        root=bytes(head.root).hex(),
        population=made.population,
        population_sha256=made.sha256,
        size=size,
        leaves=tuple(_leaves(made)),
    )
    return record(event, actor=actor, at=at)


@operation
def read_sample(uid: UUID, *, actor: Actor) -> Sample:
    """Open a recorded draw with everything it drew, and put that on record."""
    at = decide_reading(actor)
    sample = _sample(uid)
    shown = sum(event is not None for event in sample.drawn)
    record(LogRead(target_id=LOG, searched={"sample": str(uid)}, shown=shown), actor=actor, at=at)
    return sample


@operation
def redraw_sample(uid: UUID, *, actor: Actor) -> Redraw:
    """Make a recorded draw anew from its seed, filter and checkpoint, and compare."""
    at = decide_reading(actor)
    sample = _sample(uid)
    facts = sample.facts
    made = draw(_population(sample.search, before=facts["checkpoint"]), seed=facts["seed"], size=facts["size"])
    leaves = list(_leaves(made))
    record(LogRead(target_id=LOG, searched={"redrawn": str(uid)}, shown=len(leaves)), actor=actor, at=at)
    head = AuditCheckpoint.objects.filter(size=facts["checkpoint"]).values_list("root", flat=True).first()
    same_log = head is not None and bytes(head).hex() == facts["root"]
    return Redraw(
        population=made.population,
        sha256=made.sha256,
        leaves=leaves,
        same_population=same_log
        and (made.population, made.sha256) == (facts["population"], facts["population_sha256"]),
        same_sample=leaves == sample.leaves,
    )


def _population(search: LogSearch, *, before: int) -> Iterator[str]:
    """The identifiers of what `search` selects among the first `before` leaves, sorted, a few at a time."""
    with connection.cursor() as cursor:
        # All rows will be read. Without this the planner hurries to the first ones, along the index of identifiers: 10 times
        # slower at the end.
        cursor.execute("SELECT set_config('cursor_tuple_fraction', '1', true)")
    sealed = AuditLeaf.objects.filter(index__lt=before).values("event_id")
    uids = search.select().filter(pk__in=sealed).order_by("uid").values_list("uid", flat=True)
    return (str(uid) for uid in uids.iterator(chunk_size=_CHUNK))


def _leaves(made: Draw) -> Iterator[int]:
    """The places of what was drawn, in the order of the draw."""
    events = dict(AuditEvent.objects.filter(uid__in=made.drawn).values_list("uid", "pk"))
    places = dict(AuditLeaf.objects.filter(event_id__in=events.values()).values_list("event_id", "index"))
    return (places[events[UUID(uid)]] for uid in made.drawn)


def _sample(uid: UUID) -> Sample:
    event = AuditEvent.objects.with_action(LogSampled.action).select_related("private").filter(uid=uid).first()
    facts: JsonValue = event.envelope().get("details") if event else None
    if event is None or not isinstance(facts, dict):
        raise NotFound
    leaves = facts["leaves"]
    assert isinstance(leaves, list)
    places = dict(AuditLeaf.objects.filter(index__in=leaves).values_list("index", "event_id"))
    rows = {each.pk: each for each in read_events(list(places.values())).events}
    return Sample(
        event=event,
        facts=facts,
        leaves=[leaf for leaf in leaves if isinstance(leaf, int)],
        drawn=[rows.get(places.get(leaf, -1)) for leaf in leaves if isinstance(leaf, int)],
        seals=seals_of(rows),
    )
