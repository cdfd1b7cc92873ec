"""Find versions whose rows were changed behind the operations' back, and put each on record once.

Whatever was written since the last look is looked at at once, however many keys there are: PostgreSQL writes into each row by
which transaction. All the rest is gone through piece by piece, again and again, for who can write files can do without that.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from typing import Final
from uuid import UUID

from django.db import DatabaseError, DataError, connection

from audit import clock
from audit.actor import Actor
from audit.interruptions import is_interrupted
from audit.log import record
from audit.models import AuditEvent
from keys.doorbell import ring_after_commit
from keys.errors import KeysError
from keys.events import IntegrityFailed
from keys.lifecycle.transitions import locked_key, locked_versions
from keys.models import Environment, KeyVersion, VerificationChange
from keys.operations import operation, update
from keys.sealing import mac_holds

_CHUNK: Final = 2000
# Seconds for what was written: a change of an environment writes all its keys, and a look that is too long is stopped and in vain.
LONGEST: Final = 50.0
PIECE: Final = 10.0  # seconds of a look for what was not written lately: a hundred thousand versions a minute
# The number of a transaction in a row has 32 bits; so far back as a look or two they are in order.
_WRITTEN: Final = """
SELECT v.id FROM keys_keyversion v JOIN keys_managedkey k ON k.id = v.managed_key_id JOIN keys_environment e ON e.id = k.environment_id
WHERE least(age(v.xmin), age(k.xmin), age(e.xmin)) <= age(mod(%s::bigint, 4294967296)::text::xid)
"""
_FINISHED: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# An earlier row put back carries a row MAC that holds; what the log last said of its columns gives it away. Only columns that
# an event has told are compared: of a log that was pruned, the older events are gone.
_TOLD: Final = """
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(changed.key, changed.value -> 1 ORDER BY e.occurred_at, e.id) AS columns
    FROM audit_event e CROSS JOIN LATERAL jsonb_each(convert_from(e.payload, 'UTF8')::jsonb -> 'change') AS changed
    WHERE e.target_type = '{kind}' AND e.target_id = {row}.id::text AND changed.key = ANY(%({kind}_columns)s)
) AS {kind}
"""
# No MAC covers limits, team and recipient. The others are covered; but versions that are made after a key was moved by SQL get
# a MAC that fits where it was moved to.
_WHOSE: Final = [
    "service_id",
    "environment_id",
    "kind",
    "verifies_service_id",
    "verifies_environment_id",
    "owner_team_id",
    "recipient_id",
]
_MOVED: Final = " OR ".join(
    f"key.columns ? '{column}' AND key.columns ->> '{column}' IS DISTINCT FROM k.{column}::text" for column in _WHOSE
)
_OUT_OF_STEP: Final = f"""
SELECT v.id FROM keys_keyversion v JOIN keys_managedkey k ON k.id = v.managed_key_id
{_TOLD.format(kind="version", row="v")} {_TOLD.format(kind="key", row="k")}
WHERE v.id = ANY(%(versions)s) AND (
    version.columns ->> 'state' <> v.state
    OR version.columns ? 'activated_at' AND (version.columns ->> 'activated_at')::timestamptz IS DISTINCT FROM v.activated_at
    OR version.columns ? 'expires_at' AND (version.columns ->> 'expires_at')::timestamptz IS DISTINCT FROM v.expires_at
    OR version.columns ? 'retire_at' AND (version.columns ->> 'retire_at')::timestamptz IS DISTINCT FROM v.retire_at
    OR key.columns ? 'revoked_at' AND (key.columns ->> 'revoked_at')::timestamptz IS DISTINCT FROM k.revoked_at
    OR (key.columns ->> 'authorised_until')::timestamptz <> k.authorised_until
    OR key.columns -> 'scopes' <> to_jsonb(k.scopes) OR key.columns -> 'networks' <> to_jsonb(k.networks)
    OR key.columns -> 'limits' <> k.limits OR {_MOVED}
)
"""  # noqa: S608 - constants of this module
_COLUMNS: Final = {
    "version_columns": ["state", "activated_at", "expires_at", "retire_at"],
    "key_columns": ["revoked_at", "authorised_until", "scopes", "networks", "limits", *_WHOSE],
}
_PUT_BACK: Final = ""  # in place of the MAC that such a row brought with it: it must not verify


class Sweep:
    """What one process has looked at, and what it looks at next."""

    def __init__(self) -> None:
        self._since: int | None = None  # a transaction: all before it were over at the last look
        self._written: set[UUID] = set()  # since then, and not yet looked at
        self._after: UUID | None = None  # the version at which the last piece ended
        self.unrecorded: set[UUID] = set()  # found, and held up on the way to the log: looked at again

    def failures(self) -> list[KeyVersion]:
        """The versions, of those whose turn it is, whose row MAC does not hold, or that are not what their last events tell of."""
        return list(self.found())

    def found(self) -> Iterator[KeyVersion]:
        """The same one by one: whoever is stopped in between goes on from there, however much was written at once."""
        finished = _finished()
        if self._since is not None:
            self._written.update(_written_since(self._since))
        self._since = finished
        self._written |= self.unrecorded
        self.unrecorded.clear()
        known = set[UUID]()
        for chunk in chain(self._lately(), self._piece()):
            for version in _failures_among(chunk):
                if version.pk not in known:
                    known.add(version.pk)
                    yield version

    def _lately(self) -> Iterator[list[UUID]]:
        """What was written, for as long as a look may take."""
        until = time.monotonic() + LONGEST
        while self._written and time.monotonic() < until:
            chunk = list(islice(self._written, _CHUNK))
            yield chunk
            self._written.difference_update(chunk)

    def _piece(self) -> Iterator[list[UUID]]:
        """The next versions in their order, for as long as a piece may take."""
        until = time.monotonic() + PIECE
        while time.monotonic() < until:
            rest = KeyVersion.objects.order_by("pk")
            rest = rest if self._after is None else rest.filter(pk__gt=self._after)
            chunk = list(rest.values_list("pk", flat=True)[:_CHUNK])
            yield chunk
            self._after = chunk[-1] if len(chunk) == _CHUNK else None
            if self._after is None:
                return


def _failures_among(versions: Sequence[UUID]) -> list[KeyVersion]:
    """Halve what cannot be read until the row is alone: a time that no program can write must not hide the other rows."""
    try:
        return _failing(versions)
    except DataError:
        if len(versions) == 1:
            return [KeyVersion(pk=versions[0])]
    half = len(versions) // 2
    return _failures_among(versions[:half]) + _failures_among(versions[half:])


def _failing(versions: Collection[UUID]) -> list[KeyVersion]:
    rows = KeyVersion.objects.select_related("managed_key__environment", "managed_key__service").filter(pk__in=versions)
    out_of_step = _out_of_step(versions)
    return [version for version in rows if not mac_holds(version) or version.pk in out_of_step]


def _out_of_step(versions: Collection[UUID]) -> set[UUID]:
    if is_interrupted():
        return set()  # restored rows are behind their events until they follow the log, and nothing verifies till then
    with connection.cursor() as cursor:
        cursor.execute(_OUT_OF_STEP, {"versions": list(versions), **_COLUMNS})
        return {row[0] for row in cursor.fetchall()}


def _written_since(transaction: int) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN, [transaction])
        return [version for (version,) in cursor.fetchall()]


def _finished() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_FINISHED)
        return int(cursor.fetchone()[0])


@operation
def record_integrity_failure(version: KeyVersion, *, actor: Actor) -> bool:
    """Record that the row of `version` is not what an operation wrote; False when it is sound or already on record.

    The row is left as it is, for what is wrong with it is evidence; but one that was put back loses the MAC it brought with it.
    """
    if not version.kid:  # it could not be read
        return _record_unreadable(version.pk, actor=actor)
    key = locked_key(version.managed_key)
    version = next(each for each in locked_versions(key) if each.pk == version.pk)
    at = clock.now()
    is_put_back = mac_holds(version)
    if is_put_back and version.pk not in _out_of_step([version.pk]):
        return False
    if not is_put_back and _is_recorded(version.pk):
        return False
    columns = {"row_mac": _PUT_BACK} if is_put_back else {}
    update(version, IntegrityFailed, actor=actor, at=at, columns=columns, environment=key.environment.tag)
    # Whoever changed the row past the triggers told no verifier: they still hold what was sound.
    VerificationChange.objects.create(managed_key=key)
    ring_after_commit()
    return True


def _record_unreadable(version_id: UUID, *, actor: Actor) -> bool:
    """Verifiers are not told: they hold what was sound, and could not read this any more than we can."""
    if _is_recorded(version_id):
        return False
    tag = Environment.objects.get(keys__versions=version_id).tag
    record(IntegrityFailed(target_id=str(version_id), environment=tag), actor=actor, at=clock.now())
    return True


def _is_recorded(version_id: UUID) -> bool:
    last = AuditEvent.objects.of_target("version", str(version_id)).newest_first().first()
    return last is not None and last.action == IntegrityFailed.action


def sweep_integrity(sweep: Sweep, *, actor: Actor) -> int:
    """Look at the versions whose turn it is, and record each new failure; returns how many were new.

    One that cannot be recorded, for somebody holds its lock, keeps no other from its record, and is looked at again.
    """
    new, failure = 0, None
    for version in sweep.found():
        try:
            new += record_integrity_failure(version, actor=actor)
        except (KeysError, DatabaseError) as error:  # raised again below; not the time limit, which ends the look
            sweep.unrecorded.add(version.pk)
            failure = failure or error
    if failure is not None:
        raise failure
    return new
