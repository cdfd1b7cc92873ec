"""Name the verifiers that count: by their leases in the database, which nobody can forge who can only write to Valkey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connections

from keys.verification.lookup import VERIFIER

MOST_GONE: Final = 200  # that ended today; what they counted still counts against a quota

_READ: Final = """
SELECT id, stopped_at IS NULL AND valid_until > clock_timestamp() FROM keys_verifier
WHERE credential_id IS NULL AND valid_until >= date_trunc('day', clock_timestamp(), 'UTC')
ORDER BY valid_until DESC LIMIT %s
"""


@dataclass(frozen=True, kw_only=True)
class Roster:
    """Who counts now, and who counted earlier today."""

    living: frozenset[UUID] = frozenset()
    gone: frozenset[UUID] = frozenset()


def read_roster() -> Roster:
    """Read the leases of processes of ours: programs that verify for themselves count for nobody else."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_READ, [MOST_GONE])
        rows = cursor.fetchall()
    return Roster(
        living=frozenset(name for name, lives in rows if lives),
        gone=frozenset(name for name, lives in rows if not lives),
    )
