"""Follow the database for those who only have to know that something changed, and where. No key is read for it.

What is told is a reason to ask and proves nothing: a program that hears of nothing is exactly as safe, and a second slower.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from django.db import connections
from django.db.utils import Error as DatabaseError

from audit.bound import bound_cursor
from keys.verification import lease
from keys.verification.hearing import Hearing
from keys.verification.lookup import VERIFIER
from keys.verification.sharing import position_in
from keys.verification.snapshot import NEVER

SLOWEST: Final = 0.5  # seconds between two looks when nobody rings
RETRY: Final = 0.25  # seconds until the database is asked again after it failed
_PLACES: Final = "SELECT DISTINCT service_id, environment_id FROM keys_managedkey WHERE id = ANY(%s)"
_log = structlog.get_logger("keystead.verification")


@dataclass(frozen=True, kw_only=True)
class Change:
    """That something changed: of which keys and in which places, a service in an environment each; None: perhaps anywhere."""

    position: str
    keys: frozenset[UUID] = frozenset()
    places: frozenset[tuple[UUID, UUID]] | None = None


class Ringer:
    """A thread that looks at the database at each ring of Valkey, and often enough without, and tells what changed."""

    def __init__(self, tell: Callable[[Change], object]) -> None:
        self.looked_at = NEVER  # by keys.verification.lease.clock
        self._tell = tell
        self._past = self._place = ""
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
            self._past, self._place = lease.history()
            self._tell(Change(position=self._position))
        seen = lease.look(self._place)
        if seen.is_gap:
            self._past = ""
            return
        self._place = seen.position
        if seen.keys:
            keys = frozenset(key for key in seen.keys if key is not None)
            places = None if None in seen.keys else _places_of(keys)
            self._tell(Change(position=self._position, keys=keys, places=places))
        self.looked_at = began

    @property
    def _position(self) -> str:
        return position_in(self._place, self._past)

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
                self._rung.wait(SLOWEST)
                self._rung.clear()
            except DatabaseError as error:
                if self._past:  # once for each time that it goes away
                    _log.warning("nobody can be rung: the database cannot be asked", exc_info=error)
                self._past = ""
                with contextlib.suppress(DatabaseError):
                    connections[VERIFIER].close()
                self._over.wait(RETRY)
        connections[VERIFIER].close()


def _places_of(keys: frozenset[UUID]) -> frozenset[tuple[UUID, UUID]]:
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_PLACES, [list(keys)])
        return frozenset((service, environment) for service, environment in cursor.fetchall())
