"""Keep a snapshot as fresh as its lease says: a thread that renews, looks, reads again what changed, and acknowledges.

Freshness is only ever derived from a read of the database that has just been made. The bell of Valkey makes it look sooner; it
proves nothing, and without it nothing is lost but time.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import uuid4

import structlog
from django.db import connections
from django.db.utils import Error as DatabaseError

from keys.sealing import keyring
from keys.verification.lookup import VERIFIER
from keys.verification.memory import lease
from keys.verification.memory.hearing import Hearing
from keys.verification.memory.lease import MARGIN, Holder
from keys.verification.memory.loading import Catalogue, load, load_keys, load_made_by
from keys.verification.memory.snapshot import NEVER, Snapshot

SLOWEST: Final = 0.5  # seconds between two looks when nobody rings
FASTEST: Final = 0.05
RETRY: Final = 0.25  # seconds until the database is asked again after it failed
FORGOTTEN: Final = 3600.0  # seconds; changes are kept for a day, but nobody has to rely on that to the last minute
_log = structlog.get_logger("keystead.verification")


class Feed:
    """What one process holds of the keys, and the thread that keeps it fresh."""

    def __init__(self, *, name: str = "", on_tick: Callable[[], object] = lambda: None) -> None:
        name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._keyring = keyring()
        self.holder = Holder(id=uuid4(), name=name, reads=self._keyring.key_ids)
        self.snapshot = Snapshot()
        self.catalogue = Catalogue()
        self.position = ""
        self.history = ""
        self.offset = 0.0  # added to this machine's clock it gives the database's time
        self.is_behind_log = False
        self.resyncs = 0
        self.looked_at = NEVER
        self._due_at = NEVER
        self._on_tick = on_tick
        self._rung = threading.Event()
        self._over = threading.Event()
        self._hearing = Hearing(self._rung.set, over=self._over)
        self._threads: list[threading.Thread] = []

    def start(self) -> Feed:
        """Begin to follow the database; answers are possible when `is_fresh` says so."""
        for work in (self._follow, self._hearing.listen):
            thread = threading.Thread(target=work, daemon=True, name=f"feed-{work.__name__}")
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        """Answer no more, and give the lease back."""
        self._over.set()
        self._rung.set()
        for thread in self._threads:
            thread.join(5)
        self.forget_freshness()

    def ring(self) -> None:
        """Look at the database now."""
        self._rung.set()

    @property
    def hears(self) -> bool:
        """Whether the bell of Valkey is heard."""
        return self._hearing.is_heard

    @property
    def is_fresh(self) -> bool:
        """Whether any place may be answered for."""
        now = lease.clock()
        return any(now < place.fresh_until for place in list(self.catalogue.places.values()))

    def forget_freshness(self) -> None:
        for place in list(self.catalogue.places.values()):
            place.fresh_until = NEVER

    def tick(self) -> None:
        """Renew the lease, then read what changed, then be fresh until the lease ends (see keys.verification.memory.lease)."""
        began = lease.clock()
        self._due_at = began + self._period()
        self._follow_keyring()
        terms = self.catalogue.terms()
        at = lease.renew(self.holder, terms=terms, applied=self.position, entries=len(self.snapshot), hears=self.hears)
        if at is None:
            self._begin_anew()  # somebody ended this lease; what was served under it is nobody's to serve
            return
        self.offset = at - began
        if not self._look():
            return
        self.looked_at = began
        for place in self.catalogue.places.values():
            # By the terms that were committed: what changed since counts from the next lease on, if it is longer.
            term = min(terms.get(place.environment_id, 0) / 1000, place.staleness)
            place.fresh_until = began + term - MARGIN if term else NEVER

    def _look(self) -> bool:
        """Bring memory up to the database; False when nothing may be answered from it."""
        seen = lease.look(self.position)
        self.is_behind_log = seen.is_behind_log
        if seen.is_gap or not seen.is_of(self.history):
            self._resync()
            return False
        if seen.keys:
            if None in seen.keys:
                self.catalogue.read()
            keys = [key for key in seen.keys if key is not None]
            for key, held in load_keys(keys, self.catalogue).items() if keys else ():
                self.snapshot.put(key, held)
        self.position = seen.position
        if seen.keys:
            lease.acknowledge(self.holder.id, applied=self.position)
        if seen.is_behind_log:
            self.forget_freshness()
        return not seen.is_behind_log

    def _follow_keyring(self) -> None:
        """Judge again what keys made that have come or gone, and say which keys are read here now."""
        now, before = keyring(), self._keyring
        if now is before:
            return
        for key, held in load_made_by(set(now.key_ids) ^ set(before.key_ids), self.catalogue):
            self.snapshot.put(key, held)
        self._keyring, self.holder = now, replace(self.holder, reads=now.key_ids)

    def _resync(self) -> None:
        """Read everything anew, and answer nothing from before meanwhile."""
        self.forget_freshness()
        self.history, position = lease.history()
        self.catalogue.read()
        self.snapshot = load(self.catalogue)
        self.position = position
        gc.freeze()  # a collector that walks a million entries would hold up every answer, and find nothing
        self.resyncs += 1
        self._due_at = NEVER
        _log.info("snapshot loaded", count=len(self.snapshot))

    def _begin_anew(self) -> None:
        self.forget_freshness()
        self.holder = replace(self.holder, id=uuid4())
        self._due_at = NEVER

    def _follow(self) -> None:
        connected = False
        while not self._over.is_set():
            pause = RETRY
            try:
                if not connected:
                    self.catch_up()
                    connected = True
                if self._rung.is_set():
                    self._rung.clear()
                    self._look()
                if lease.clock() >= self._due_at:
                    self.tick()
                pause = max(0.001, self._due_at - lease.clock())
            except DatabaseError as error:
                if connected:  # once for each time that it goes away
                    _log.warning("verifier cannot ask the database", exc_info=error)
                connected = False
                with contextlib.suppress(DatabaseError):
                    connections[VERIFIER].close()
            except Exception as error:  # noqa: BLE001 - whatever it is: without this thread nothing would be answered ever again
                _log.error("verifier cannot follow", exc_info=error)
                self.forget_freshness()
                connected, self.history = False, ""
            self._do_besides()
            if connected:
                self._rung.wait(pause)
            else:
                self._over.wait(pause)
        with contextlib.suppress(DatabaseError):
            self.forget_freshness()
            lease.end(self.holder.id)
        connections[VERIFIER].close()

    def _do_besides(self) -> None:
        try:
            self._on_tick()
        except Exception as error:  # noqa: BLE001 - as above: a full disk, say, must not end it
            _log.error("verifier cannot do what is due", exc_info=error)

    def catch_up(self) -> None:
        """Connect anew, and go on where we were if it is the same database with the same past; else read everything."""
        connections[VERIFIER].close()
        absent = lease.clock() - self.looked_at
        self._due_at = NEVER
        if not self.history or absent > FORGOTTEN or lease.history()[0] != self.history:
            self._resync()

    def _period(self) -> float:
        shortest = min(self.catalogue.terms().values(), default=0) / 1000
        return max(FASTEST, min(SLOWEST, shortest / 5)) if shortest else SLOWEST
