"""Write a change again that somebody deleted: a verifier that stood still then would never hear of it, and accept what was stopped.

PostgreSQL writes into each row by which transaction it was written (or part of one, behind a savepoint), and a trigger writes the
change in the same one. So a row that is younger than the youngest change of its key is one whose change is gone.
"""

from __future__ import annotations

import time
from collections import deque
from datetime import timedelta
from typing import Final

import structlog
from django.db import connection, transaction

from keys.doorbell import ring_after_commit
from keys.models import VerificationChange

# Whoever has been away for longer reads everything (keys.verification.memory.lease).
AWAY: Final = timedelta(hours=12).total_seconds()
_FINISHED: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_UNTOLD: Final = """
WITH written AS (
    SELECT managed_key_id AS key, age(xmin) AS age FROM keys_keyversion
    UNION ALL
    SELECT k.id, age(k.xmin) FROM keys_managedkey k WHERE EXISTS (SELECT FROM keys_keyversion v WHERE v.managed_key_id = k.id)
), told AS (
    SELECT managed_key_id AS key, min(age(xmin)) AS age FROM keys_verificationchange GROUP BY managed_key_id
)
SELECT written.key FROM written LEFT JOIN told USING (key) WHERE written.age <= age(mod(%s::bigint, 4294967296)::text::xid)
GROUP BY written.key, told.age HAVING told.age IS NULL OR told.age > min(written.age)
"""
_log = structlog.get_logger("keystead.verification")


class Retelling:
    """The looks of one process. What was written before its first one is for the verifiers' own starts."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()  # when, and a transaction before which all were over

    def tell_again(self) -> int:
        """Write the changes that are missing; returns of how many keys."""
        now = time.monotonic()
        while len(self._looks) > 1 and self._looks[1][0] < now - AWAY:
            self._looks.popleft()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_FINISHED)
            self._looks.append((now, int(cursor.fetchone()[0])))
            cursor.execute(_UNTOLD, [self._looks[0][1]])
            untold = [key for (key,) in cursor.fetchall()]
            VerificationChange.objects.bulk_create(VerificationChange(managed_key_id=key) for key in untold)
            if untold:
                ring_after_commit()
        if untold:
            _log.error("changes were deleted", count=len(untold))
        return len(untold)
