"""List what can happen to searches of the log: kept under a name, changed, removed, and samples drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from audit.events import Event, Severity

SAVED_SEARCH = frozenset("id created_at person_id name query is_shared removed_at".split())


class SavedSearchCreated(Event):
    """A search of the log was kept under a name."""

    action = "saved-search.created"
    target_type = "saved-search"
    change_fields = SAVED_SEARCH


class SavedSearchChanged(Event):
    """A saved search got another name, or was shared with everybody who reads the log, or no longer is."""

    action = "saved-search.changed"
    target_type = "saved-search"
    change_fields = SAVED_SEARCH


class SavedSearchRemoved(Event):
    """A saved search was removed."""

    action = "saved-search.removed"
    target_type = "saved-search"
    change_fields = SAVED_SEARCH


class LogSampled(Event):
    """A sample was drawn from the log; whoever has the events can draw it again from the seed.

    The population is what `searched` selects among the first `checkpoint` leaves; `leaves` are the places drawn, in the
    order of the draw. `seed_chosen`: somebody typed the seed instead of letting chance choose it.
    """

    action = "log.sampled"
    target_type = "audit-log"
    severity = Severity.LOW
    ocsf_class = "Datastore Activity"

    algorithm: str
    seed: str
    seed_chosen: bool
    searched: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    checkpoint: int
    root: str
    population: int
    population_sha256: str
    size: int
    leaves: tuple[int, ...]
