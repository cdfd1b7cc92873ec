"""Follow the database for programs that hold keys, and tell what changed, where, and what became of it.

What is told proves no freshness: a program that hears of nothing is exactly as safe, and a second slower. One that is told
everything since a position at which it stands, or which it has behind it, may stand at the new one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog
from django.db import connections
from django.db.utils import Error as DatabaseError

from audit.bound import bound_cursor
from keys.verification.lookup import VERIFIER
from keys.verification.memory import lease
from keys.verification.memory.hearing import Hearing
from keys.verification.memory.snapshot import NEVER
from keys.verification.programs.sharing import position_in
from keys.verification.programs.telling import Change, Place, changes_of

SLOWEST: Final = 0.5  # seconds between two looks when nobody rings
RETRY: Final = 0.25  # seconds until the database is asked again after it failed
MOST_TOLD: Final = 50  # keys; of more, each program had better ask for what it needs
_PLACES: Final = "SELECT DISTINCT service_id, environment_id FROM keys_managedkey WHERE id = ANY(%s)"
_log = structlog.get_logger("keystead.verification")


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that became of the keys of one place after `since`, and up to the position it is told with."""

    since: str
    changes: Sequence[Change]


@dataclass(frozen=True, kw_only=True)
class Ring:
    """That something changed: of which keys and in which places; None: perhaps any. `told` of a place is all, or missing."""

    position: str
    keys: frozenset[UUID] | None = None
    places: frozenset[Place] | None = None
    told: Mapping[Place, Told] = field(default_factory=dict)


class Ringer:
    """A thread that looks at the database at each ring of Valkey, and often enough without, and tells what changed."""

    def __init__(self, tell: Callable[[Ring], object]) -> None:
        self.looked_at = NEVER  # by keys.verification.memory.lease.clock
        self._tell = tell
        self._past = self._here = ""  # which database this is, and the position in it up to which was looked
        # Up to where nothing is left to be told: everywhere, and in places of which something was told since.
        self._all_told = ""
        self._told: dict[Place, str] = {}
        self._rung, self._over = threading.Event(), threading.Event()
        self._hearing = Hearing(self._rung.set, over=self._over)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for work in (self._follow, self._hearing.listen):
            thread = threading.Thread(target=work, daemon=True, name=f"ringer-{work.__name__}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._over.set()
        self._rung.set()
        for thread in self._threads:
            thread.join(5)

    def look(self) -> None:
        """Look once; the first look at a database, and one that finds it does not know ours, tells that anything may have changed."""
        began = lease.clock()
        if not self._past:
            self._past, self._here = lease.history()
            self._anywhere()
        seen = lease.look(self._here)
        if seen.is_gap or not seen.is_of(self._past):
            self._past = ""
            return
        self._here = seen.position
        keys = frozenset(key for key in seen.keys if key is not None)
        if None in seen.keys or (seen.keys and seen.is_behind_log):
            self._anywhere(keys)
        elif keys:
            self._at(_places_of(keys), keys)
        self.looked_at = began

    def _anywhere(self, keys: frozenset[UUID] | None = None) -> None:
        self._all_told, self._told = self._position, {}
        self._tell(Ring(position=self._position, keys=keys))

    def _at(self, places: frozenset[Place], keys: frozenset[UUID]) -> None:
        position = self._position
        changes = changes_of(keys, places) if len(keys) <= MOST_TOLD else {}
        told = {
            place: Told(since=self._told.get(place, self._all_told), changes=list(of_keys.values()))
            for place, of_keys in changes.items()
        }
        self._told |= dict.fromkeys(places, position)
        self._tell(Ring(position=position, keys=keys, places=places, told=told))

    @property
    def _position(self) -> str:
        return position_in(self._here, self._past)

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
                self._rung.wait(SLOWEST)
                self._rung.clear()
            except Exception as error:  # noqa: BLE001 - whatever it is: without this thread nobody would be rung ever again
                if self._past:  # once for each time that the database goes away
                    _log.warning("nobody can be rung", exc_info=error)
                self._past = ""
                with contextlib.suppress(DatabaseError):
                    connections[VERIFIER].close()
                self._over.wait(RETRY)
        connections[VERIFIER].close()


def _places_of(keys: frozenset[UUID]) -> frozenset[Place]:
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_PLACES, [list(keys)])
        return frozenset((service, environment) for service, environment in cursor.fetchall())
