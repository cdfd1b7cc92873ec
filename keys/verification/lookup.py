"""Find a version by its public identifier, with the database's time of the same instant, as the role that may only read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from audit.bound import bound_cursor
from keys.crypto.row_mac import VersionFields
from keys.errors import Unavailable
from keys.sealing import verifies_of

VERIFIER: Final = "verifier"

# Whether these rows may be older than the log, which a row that is not there could not say.
IS_BEHIND: Final = "EXISTS (SELECT FROM audit_interruption WHERE ended_at IS NULL)"
# One statement, so one snapshot: the state, the clock and the row MAC all tell of the same instant.
EVERYTHING: Final = """
SELECT clock_timestamp(), v.id AS version_id, v.kid, v.sequence, v.state, v.digest, v.digest_algorithm, v.row_mac,
       v.public_key, v.sealed_secret, v.activated_at, v.expires_at, v.retire_at, v.ended_reason,
       k.id, k.number, k.name, k.consumer, k.kind, k.scopes, k.networks, k.authorised_until, k.revoked_at,
       k.owner_team_id, t.slug, k.service_id, s.slug, k.environment_id, e.tag,
       k.verifies_service_id, k.verifies_environment_id,
       -- Asked only of a version that is being retired: since when a newer one works, where the policy warns by refusals.
       CASE WHEN v.retire_at IS NOT NULL THEN (
           SELECT min(n.activated_at) FROM keys_keyversion n, keys_policy approved
           WHERE approved.id = k.policy_id AND approved.brownouts AND n.managed_key_id = k.id AND n.sequence > v.sequence
           AND n.state = 'active' AND n.activated_at <= clock_timestamp() AND n.expires_at > clock_timestamp()
           AND (n.retire_at IS NULL OR n.retire_at > clock_timestamp())
       ) END,
       p.signature_required, p.signed_scopes, p.signature_window_seconds, k.limits::text
FROM keys_keyversion v
JOIN keys_managedkey k ON k.id = v.managed_key_id
JOIN keys_service s ON s.id = k.service_id
JOIN keys_environment e ON e.id = k.environment_id
JOIN keys_team t ON t.id = k.owner_team_id
LEFT JOIN LATERAL (
    -- The rules in force, not those of the day of the approval: what has to be signed may be decided later.
    SELECT signature_required, signed_scopes, signature_window_seconds FROM keys_policy
    WHERE service_id = k.service_id AND environment_id = k.environment_id ORDER BY version DESC LIMIT 1
) AS p ON true
"""
_BY_KID: Final = (
    f"SELECT {IS_BEHIND}, found.* FROM (SELECT) AS always "  # noqa: S608 - constants of this module
    f"LEFT JOIN LATERAL ({EVERYTHING} WHERE v.kid = %s) AS found ON true"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A version and what its key says, at the instant `at` of the database."""

    at: datetime
    version_id: UUID
    ended_reason: str
    row_mac: str
    fields: VersionFields
    key_id: UUID
    number: int
    name: str
    consumer: str
    revoked_at: datetime | None
    owner_team_id: UUID
    owner_team: str
    service_id: UUID
    service: str
    environment_id: UUID
    verifies_service_id: UUID | None
    verifies_environment_id: UUID | None
    # Since when a newer version works too, where the policy lets the old one be refused for moments before its end.
    warned_since: datetime | None = None
    # What the policy in force wants signed, and how old a signature may be.
    signature_required: bool = False
    signed_scopes: tuple[str, ...] = ()
    signature_window_seconds: int = 60
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def ends_at(self) -> datetime | None:
        """When this version stops verifying by the clock, if nobody stops it before."""
        ends = (self.fields.expires_at, self.fields.retire_at, self.fields.authorised_until)
        return min((each for each in ends if each is not None), default=None)


def find(kid: str) -> Found | None:
    """Read the version that `kid` names, or None; raise Unavailable while a restored database is behind its log."""
    with bound_cursor(VERIFIER) as cursor:
        cursor.execute(_BY_KID, [kid])
        is_behind, *row = cursor.fetchone()
    if is_behind:
        raise Unavailable("log_interrupted")  # revocations since the backup may be missing
    return None if row[1] is None else found_in(row)


def found_in(row: Sequence[Any]) -> Found:  # Any: whatever the columns of EVERYTHING hold
    """Read one row of the statement EVERYTHING."""
    (at, version_id, found_kid, sequence, state, digest, digest_algorithm, row_mac) = row[:8]
    (public_key, sealed_secret, activated_at, expires_at, retire_at, ended_reason) = row[8:14]
    (key_id, number, name, consumer, kind, scopes, networks, authorised_until, revoked_at) = row[14:23]
    (owner_team_id, owner_team, service_id, service, environment_id, tag) = row[23:29]
    (verifies_service_id, verifies_environment_id, warned_since) = row[29:32]
    (signature_required, signed_scopes, signature_window_seconds) = row[32:35]
    return Found(
        at=at,
        version_id=version_id,
        ended_reason=ended_reason,
        row_mac=row_mac,
        fields=VersionFields(
            kid=found_kid,
            key_id=str(key_id),
            kind=kind,
            digest=bytes(digest) if digest is not None else None,
            digest_algorithm=digest_algorithm,
            public_key=public_key,
            sealed_secret=sealed_secret,
            service=str(service_id),
            environment=tag,
            verifies=verifies_of(verifies_service_id, verifies_environment_id),
            scopes=tuple(scopes),
            networks=tuple(networks),
            state=state,
            activated_at=activated_at,
            expires_at=expires_at,
            retire_at=retire_at,
            authorised_until=authorised_until,
            sequence=sequence,
        ),
        key_id=key_id,
        number=number,
        name=name,
        consumer=consumer,
        revoked_at=revoked_at,
        owner_team_id=owner_team_id,
        owner_team=owner_team,
        service_id=service_id,
        service=service,
        environment_id=environment_id,
        verifies_service_id=verifies_service_id,
        verifies_environment_id=verifies_environment_id,
        warned_since=warned_since,
        signature_required=bool(signature_required),
        signed_scopes=tuple(signed_scopes or ()),
        signature_window_seconds=signature_window_seconds or 60,
        limits=json.loads(row[35]),
    )
