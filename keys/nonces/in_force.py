"""Agree between all processes where nonces are remembered: a repetition must meet the store that knows it.

One row of the database names the store in force and since when. Nobody uses a store on a reading of that row that is older
than LEASE_SECONDS; after a change, whatever was signed while the other store may still have been used is refused.

Where one thread answers everybody, another reads the row (`renew`): an answer never waits for the database here.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Final, NamedTuple

from django.db import DatabaseError, connections

from keys.nonces.in_database import VERIFIER
from keys.nonces.members import DOUBT_SECONDS, NonceStoreUnavailable
from keys.states import NonceStoreName

READ_EVERY_SECONDS: Final = 1.0
LEASE_SECONDS: Final = 3.0
# What a process that has not read of the change yet may still have accepted elsewhere.
CHANGE_DOUBT_SECONDS: Final = int(LEASE_SECONDS) + DOUBT_SECONDS

_READ: Final = "SELECT store, since, extract(epoch FROM clock_timestamp() - since) FROM keys_noncestore WHERE id = 1"
_FIRST: Final = """
INSERT INTO keys_noncestore (id, store, since) VALUES (1, %s, clock_timestamp()) ON CONFLICT (id) DO NOTHING
"""
_CHANGE: Final = """
UPDATE keys_noncestore SET store = %s, since = clock_timestamp() WHERE id = 1 AND store = %s AND since = %s
"""


class InForce(NamedTuple):
    """Which store, since when, and when by the monotonic clock that was read."""

    store: NonceStoreName
    since: datetime
    read_at: float
    age: float  # seconds between `since` and the reading

    @property
    def standing_for(self) -> float:
        """For how many seconds this store has been in force."""
        return self.age + time.monotonic() - self.read_at


class StoreInForce:
    """What this process knows of the store in force."""

    def __init__(self) -> None:
        self.is_renewed = False  # whether another thread reads, and who answers never does
        self._known: InForce | None = None
        self._reading = threading.Lock()

    def current(self) -> InForce:
        """The store in force, by a reading that is young enough; raises NonceStoreUnavailable when there is none."""
        known, now = self._known, time.monotonic()
        if known is not None and now - known.read_at < (LEASE_SECONDS if self.is_renewed else READ_EVERY_SECONDS):
            return known
        if self.is_renewed:
            raise NonceStoreUnavailable("nonce_store_unavailable")
        # One thread reads; the others go on with what is known while that may still be used.
        may_wait = known is None or now - known.read_at >= LEASE_SECONDS
        if not self._reading.acquire(blocking=may_wait):
            assert known is not None
            return known
        try:
            known = self._known
            if known is not None and time.monotonic() - known.read_at < READ_EVERY_SECONDS:
                return known
            return self._read()
        except DatabaseError:
            known = self._known
            if known is not None and time.monotonic() - known.read_at < LEASE_SECONDS:
                return known
            raise NonceStoreUnavailable("nonce_store_unavailable") from None
        finally:
            self._reading.release()

    def renew(self) -> InForce:
        """Read the row, and from now on leave that to whoever calls this; raises NonceStoreUnavailable, and keeps what it knew."""
        self.is_renewed = True
        try:
            return self._read()
        except DatabaseError:
            raise NonceStoreUnavailable("nonce_store_unavailable") from None

    def change(self, was: InForce, store: NonceStoreName) -> None:
        """Put another store in force, unless somebody changed it meanwhile."""
        try:
            with connections[VERIFIER].cursor() as cursor:
                cursor.execute(_CHANGE, [str(store), str(was.store), was.since])
            self._read()
        except DatabaseError:
            raise NonceStoreUnavailable("nonce_store_unavailable") from None

    def _read(self) -> InForce:
        read_at = time.monotonic()  # before the question: a reading is never younger than it is
        with connections[VERIFIER].cursor() as cursor:
            cursor.execute(_READ)
            row = cursor.fetchone()
            if row is None:
                cursor.execute(_FIRST, [str(NonceStoreName.VALKEY)])
                cursor.execute(_READ)
                row = cursor.fetchone()
        self._known = InForce(NonceStoreName(row[0]), row[1], read_at, float(row[2]))
        return self._known
