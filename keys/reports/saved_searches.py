"""Keep a search of the log under a name: open it again, rename it, share it, remove it."""

from __future__ import annotations

from audit.actor import Actor
from keys.errors import Conflict, Invalid
from keys.events import SavedSearchChanged, SavedSearchCreated, SavedSearchRemoved
from keys.models import Person, SavedSearch
from keys.operations import insert, locked, operation, update
from keys.people.standing import standing_of
from keys.policy.enforcement import enforce
from keys.policy.search_rules import may_change_search, may_keep_search
from keys.reports.log import decide_reading
from keys.reports.searches import LogSearch
from keys.text import line

MOST_SAVED = 100
LONGEST_NAME = 80


@operation
def save_search(search: LogSearch, *, actor: Actor, name: str, is_shared: bool = False) -> SavedSearch:
    """Keep `search` for whoever asks, and with `is_shared` for everybody who may read the log."""
    at = decide_reading(actor)
    enforce(may_keep_search(standing_of(actor, at=at)))
    name = line(name, "name", most=LONGEST_NAME)
    if not search.kept():
        raise Invalid.field("name", "nothing_to_save")
    person = locked(Person(pk=actor.id))  # two searches of one name, saved at once, would both see that it is free
    _require_free(name, owner=person)
    if SavedSearch.objects.living().filter(person=person).count() >= MOST_SAVED:
        raise Invalid.field("name", "too_many", most=MOST_SAVED)
    row = SavedSearch(person=person, name=name, query=search.kept(), is_shared=is_shared, created_at=at)
    return insert(row, SavedSearchCreated, actor=actor, at=at)


@operation
def change_saved_search(saved: SavedSearch, *, actor: Actor, name: str, is_shared: bool) -> SavedSearch:
    """Give a saved search another name, share it, or share it no longer."""
    at = decide_reading(actor)
    locked(Person(pk=actor.id))
    saved = locked(saved)
    enforce(may_change_search(standing_of(actor, at=at), owner_id=saved.person_id))
    _require_living(saved)
    name = line(name, "name", most=LONGEST_NAME)
    if name != saved.name:
        _require_free(name, owner=saved.person)
    columns = {"name": name, "is_shared": is_shared}
    if all(getattr(saved, column) == value for column, value in columns.items()):
        return saved
    return update(saved, SavedSearchChanged, actor=actor, at=at, expected={"removed_at": None}, columns=columns)


@operation
def remove_saved_search(saved: SavedSearch, *, actor: Actor) -> None:
    """Remove a saved search; the log keeps that it was there."""
    at = decide_reading(actor)
    saved = locked(saved)
    enforce(may_change_search(standing_of(actor, at=at), owner_id=saved.person_id))
    _require_living(saved)
    update(saved, SavedSearchRemoved, actor=actor, at=at, expected={"removed_at": None}, columns={"removed_at": at})


def _require_living(saved: SavedSearch) -> None:
    if saved.removed_at is not None:
        raise Conflict("search_removed")


def _require_free(name: str, *, owner: Person) -> None:
    if SavedSearch.objects.living().filter(person=owner, name=name).exists():
        raise Invalid.field("name", "taken")
