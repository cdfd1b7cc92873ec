"""Remember nonces in the database: slower, and there when Valkey is not."""

from __future__ import annotations

import threading
import time
from typing import Final

from django.db import DatabaseError, connections

from keys.nonces.members import KEPT_SECONDS, NonceStoreUnavailable, member

VERIFIER: Final = "verifier"
SWEPT_EVERY_SECONDS: Final = 60.0

_SPEND: Final = """
INSERT INTO keys_spentnonce (digest, created) VALUES (%s, %s) ON CONFLICT (digest) DO NOTHING RETURNING true
"""
_SWEEP: Final = "DELETE FROM keys_spentnonce WHERE created < extract(epoch FROM clock_timestamp()) - %s"


class NoncesInDatabase:
    """The nonces that the database remembers; each committed before the request is accepted."""

    def __init__(self) -> None:
        self._swept_at = time.monotonic()
        self._lock = threading.Lock()

    def spend(self, kid: str, nonce: str, *, created: int) -> bool:
        """Remember a nonce; False when it is remembered already."""
        try:
            with connections[VERIFIER].cursor() as cursor:
                cursor.execute(_SPEND, [member(kid, nonce), created])
                is_first = cursor.fetchone() is not None
                if self._is_time_to_sweep():
                    cursor.execute(_SWEEP, [KEPT_SECONDS])
        except DatabaseError:
            raise NonceStoreUnavailable("nonce_store_unavailable") from None
        return is_first

    def _is_time_to_sweep(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now - self._swept_at < SWEPT_EVERY_SECONDS:
                return False
            self._swept_at = now
            return True
