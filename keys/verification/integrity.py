"""Find versions whose rows were changed behind the operations' back, and put each on record once."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import connection

from audit import clock
from audit.actor import Actor
from audit.models import AuditEvent
from keys.doorbell import ring_after_commit
from keys.events import IntegrityFailed
from keys.lifecycle.transitions import locked_key, locked_versions
from keys.models import KeyVersion, VerificationChange
from keys.operations import operation, update
from keys.sealing import mac_holds

_CHUNK: Final = 2000

# An earlier row put back carries a row MAC that holds; what the log last said of its state and its times gives it away.
_OUT_OF_STEP: Final = """
SELECT v.id FROM keys_keyversion v
CROSS JOIN LATERAL (
    SELECT convert_from(e.payload, 'UTF8')::jsonb -> 'change' AS change
    FROM audit_event e
    WHERE e.target_type = 'version' AND e.target_id = v.id::text
      AND convert_from(e.payload, 'UTF8')::jsonb -> 'change' ? 'state'
    ORDER BY e.occurred_at DESC, e.id DESC LIMIT 1
) AS told
WHERE v.state IS DISTINCT FROM told.change -> 'state' ->> 1
  AND (%(version)s::uuid IS NULL OR v.id = %(version)s)
"""


def find_integrity_failures() -> list[KeyVersion]:
    """Every version whose row MAC does not hold, or whose state is not the one that its last event tells of."""
    rows = KeyVersion.objects.select_related("managed_key__environment", "managed_key__service").order_by("pk")
    failed = {version.pk: version for version in rows.iterator(chunk_size=_CHUNK) if not mac_holds(version)}
    missing = _out_of_step() - failed.keys()
    return [*failed.values(), *rows.filter(pk__in=missing)]


def _out_of_step(version_id: UUID | None = None) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_OUT_OF_STEP, {"version": version_id})
        return {row[0] for row in cursor.fetchall()}


@operation
def record_integrity_failure(version: KeyVersion, *, actor: Actor) -> bool:
    """Record that the row of `version` is not what an operation wrote; False when it is sound or already on record.

    The row is left as it is: it does not verify, and what is wrong with it is evidence.
    """
    key = locked_key(version.managed_key)
    version = next(each for each in locked_versions(key) if each.pk == version.pk)
    at = clock.now()
    if mac_holds(version) and version.pk not in _out_of_step(version.pk):
        return False
    last = AuditEvent.objects.of_target("version", str(version.pk)).newest_first().first()
    if last is not None and last.action == IntegrityFailed.action:
        return False
    update(version, IntegrityFailed, actor=actor, at=at, columns={}, environment=key.environment.tag)
    # Whoever changed the row past the triggers told no verifier: they still hold what was sound.
    VerificationChange.objects.create(managed_key=key)
    ring_after_commit()
    return True


def sweep_integrity(*, actor: Actor) -> int:
    """Look at every version and record each new failure; returns how many were new."""
    return sum(record_integrity_failure(version, actor=actor) for version in find_integrity_failures())
