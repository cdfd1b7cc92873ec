"""Remember nonces in the database: slower, and there when Valkey is not."""

from __future__ import annotations

import threading
import time
from typing import Final

from django.db import DatabaseError, connections

from keys.nonces.members import KEPT_SECONDS, NonceStoreUnavailable, member

VERIFIER: Final = "verifier"
SWEPT_EVERY_SECONDS: Final = 60.0

# By the database's clock: a process with a slow one still accepts what was swept here long ago.
_IS_KEPT: Final = "%(created)s > extract(epoch FROM clock_timestamp()) - %(kept)s"
_SPEND: Final = f"""
INSERT INTO keys_spentnonce (digest, created) SELECT %(digest)s, %(created)s WHERE {_IS_KEPT}
ON CONFLICT (digest) DO NOTHING RETURNING true
"""
_SWEEP: Final = "DELETE FROM keys_spentnonce WHERE created < extract(epoch FROM clock_timestamp()) - %s"


class NoncesInDatabase:
    """The nonces that the database remembers; each committed before the request is accepted."""

    def __init__(self) -> None:
        self._swept_at = time.monotonic()
        self._lock = threading.Lock()

    def spend(self, kid: str, nonce: str, *, created: int) -> bool:
        """Remember a nonce; False when it is remembered already. NonceStoreUnavailable, also when it may have been forgotten."""
        facts = {"digest": member(kid, nonce), "created": created, "kept": KEPT_SECONDS}
        try:
            with connections[VERIFIER].cursor() as cursor:
                cursor.execute(_SPEND, facts)
                is_first = cursor.fetchone() is not None
                if not is_first:
                    cursor.execute(f"SELECT {_IS_KEPT}", facts)
                    is_kept = cursor.fetchone()[0]
                if self._is_time_to_sweep():
                    cursor.execute(_SWEEP, [KEPT_SECONDS])
        except DatabaseError:
            raise NonceStoreUnavailable("nonce_store_unavailable") from None
        if not is_first and not is_kept:
            raise NonceStoreUnavailable("nonce_store_unavailable", retry_after=10)
        return is_first

    def _is_time_to_sweep(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now - self._swept_at < SWEPT_EVERY_SECONDS:
                return False
            self._swept_at = now
            return True
