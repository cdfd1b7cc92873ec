"""Find versions whose rows were changed behind the operations' back, and put each on record once."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import connection

from audit import clock
from audit.actor import Actor
from audit.interruptions import is_interrupted
from audit.models import AuditEvent
from keys.doorbell import ring_after_commit
from keys.events import IntegrityFailed
from keys.lifecycle.transitions import locked_key, locked_versions
from keys.models import KeyVersion, VerificationChange
from keys.operations import operation, update
from keys.sealing import mac_holds

_CHUNK: Final = 2000

# An earlier row put back carries a row MAC that holds; what the log last said of its columns gives it away. Only columns that
# an event has told are compared: of a log that was pruned, the older events are gone.
_TOLD: Final = """
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(changed.key, changed.value -> 1 ORDER BY e.occurred_at, e.id) AS columns
    FROM audit_event e CROSS JOIN LATERAL jsonb_each(convert_from(e.payload, 'UTF8')::jsonb -> 'change') AS changed
    WHERE e.target_type = '{kind}' AND e.target_id = {row}.id::text AND changed.key = ANY(%({kind}_columns)s)
) AS {kind}
"""
_OUT_OF_STEP: Final = f"""
SELECT v.id FROM keys_keyversion v JOIN keys_managedkey k ON k.id = v.managed_key_id
{_TOLD.format(kind="version", row="v")} {_TOLD.format(kind="key", row="k")}
WHERE (%(version)s::uuid IS NULL OR v.id = %(version)s) AND (
    version.columns ->> 'state' <> v.state
    OR version.columns ? 'activated_at' AND (version.columns ->> 'activated_at')::timestamptz IS DISTINCT FROM v.activated_at
    OR version.columns ? 'expires_at' AND (version.columns ->> 'expires_at')::timestamptz IS DISTINCT FROM v.expires_at
    OR version.columns ? 'retire_at' AND (version.columns ->> 'retire_at')::timestamptz IS DISTINCT FROM v.retire_at
    OR key.columns ? 'revoked_at' AND (key.columns ->> 'revoked_at')::timestamptz IS DISTINCT FROM k.revoked_at
    OR (key.columns ->> 'authorised_until')::timestamptz <> k.authorised_until
    OR key.columns -> 'scopes' <> to_jsonb(k.scopes) OR key.columns -> 'networks' <> to_jsonb(k.networks)
)
"""  # noqa: S608 - constants of this module
_COLUMNS: Final = {
    "version_columns": ["state", "activated_at", "expires_at", "retire_at"],
    "key_columns": ["revoked_at", "authorised_until", "scopes", "networks"],
}
_PUT_BACK: Final = ""  # in place of the MAC that such a row brought with it: it must not verify


def find_integrity_failures() -> list[KeyVersion]:
    """Every version whose row MAC does not hold, or that is not what its last events, and its key's, tell of."""
    rows = KeyVersion.objects.select_related("managed_key__environment", "managed_key__service").order_by("pk")
    failed = {version.pk: version for version in rows.iterator(chunk_size=_CHUNK) if not mac_holds(version)}
    missing = _out_of_step() - failed.keys()
    return [*failed.values(), *rows.filter(pk__in=missing)]


def _out_of_step(version_id: UUID | None = None) -> set[UUID]:
    if is_interrupted():
        return set()  # restored rows are behind their events until they follow the log, and nothing verifies till then
    with connection.cursor() as cursor:
        cursor.execute(_OUT_OF_STEP, {"version": version_id, **_COLUMNS})
        return {row[0] for row in cursor.fetchall()}


@operation
def record_integrity_failure(version: KeyVersion, *, actor: Actor) -> bool:
    """Record that the row of `version` is not what an operation wrote; False when it is sound or already on record.

    The row is left as it is, for what is wrong with it is evidence; but one that was put back loses the MAC it brought with it.
    """
    key = locked_key(version.managed_key)
    version = next(each for each in locked_versions(key) if each.pk == version.pk)
    at = clock.now()
    is_put_back = mac_holds(version)
    if is_put_back and version.pk not in _out_of_step(version.pk):
        return False
    last = AuditEvent.objects.of_target("version", str(version.pk)).newest_first().first()
    if not is_put_back and last is not None and last.action == IntegrityFailed.action:
        return False
    columns = {"row_mac": _PUT_BACK} if is_put_back else {}
    update(version, IntegrityFailed, actor=actor, at=at, columns=columns, environment=key.environment.tag)
    # Whoever changed the row past the triggers told no verifier: they still hold what was sound.
    VerificationChange.objects.create(managed_key=key)
    ring_after_commit()
    return True


def sweep_integrity(*, actor: Actor) -> int:
    """Look at every version and record each new failure; returns how many were new."""
    return sum(record_integrity_failure(version, actor=actor) for version in find_integrity_failures())
