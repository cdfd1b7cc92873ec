"""Write what a client's own verifier may hold: the keys of one service in one environment, signed.

Digests let nobody forge a key, so they may leave; secrets that are shared to sign with never do.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.db import connections

from audit import clock
from audit.canonical import canonical_json
from keys.crypto import snapshot_keys
from keys.crypto.digests import CURRENT_ALGORITHM
from keys.sealing import keyring
from keys.states import KeyKind
from keys.verification import lease
from keys.verification.loading import read_found, told_time
from keys.verification.lookup import VERIFIER, Found
from keys.verification.standing import standing_of
from keys.verification.verifier import Binding, is_intact

MAGIC: Final = b"KSSNAP1\n"
SIGNED_SNAPSHOT: Final = b"keystead snapshot v1\n"
RECORD: Final = struct.Struct("<32s16sIIQ")
RETIRES: Final = 1
PAST: Final = "@"  # in a position, before the name of the past that it belongs to
_AT_PLACE: Final = "k.service_id = %s AND k.environment_id = %s AND v.state = 'active'"
_TERM: Final = "SELECT max_staleness_ms FROM keys_environment WHERE id = %s"


def time_of_database() -> float:
    """Seconds since the epoch by the clock that decides."""
    return clock.now().timestamp()


def term_of(environment_id: UUID) -> int:
    """How long an environment may be answered for from memory, in milliseconds; 0 means not at all."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_TERM, [environment_id])
        return min(int(cursor.fetchone()[0]), round(lease.LONGEST * 1000))


def signing_keys() -> list[dict[str, str]]:
    """The public halves of what signs here, as JWKs, newest first."""
    return list(snapshot_keys.public_keys(keyring()))


def snapshot_of(binding: Binding) -> tuple[str, bytes]:
    """Every version that verifies now, signed; returns its position too. Whatever commits meanwhile comes as a change."""
    past, place = lease.history()
    position = position_in(place, past)
    rows = [found for found in read_found(_AT_PLACE, [binding.service_id, binding.environment_id]) if verifies(found)]
    rows.sort(key=digest_of)
    policies: dict[bytes, int] = {}
    records = bytearray()
    for found in rows:
        policy = canonical_json(policy_of(found))
        number = policies.setdefault(policy, len(policies))
        ends, retires = end_of(found)
        records += RECORD.pack(digest_of(found), found.fields.kid.encode(), number, RETIRES if retires else 0, ends)
    kid, _ = snapshot_keys.sign(b"", keyring())
    header: dict[str, Any] = {
        "kid": kid,
        "service": rows[0].service if rows else "",
        "environment": rows[0].fields.environment if rows else "",
        "service_id": str(binding.service_id),
        "environment_id": str(binding.environment_id),
        "position": position,
        "issued_at": told_time(rows[0].at) if rows else None,
        "lease_ms": term_of(binding.environment_id),
        "count": len(rows),
        "policies": [json.loads(policy) for policy in policies],
        "warned": {found.fields.kid: milliseconds(found.warned_since) for found in rows if found.warned_since},
    }
    head = canonical_json(header)
    content = MAGIC + struct.pack("<I", len(head)) + head + bytes(records)
    _, signature = snapshot_keys.sign(SIGNED_SNAPSHOT + hashlib.sha256(content).digest(), keyring())
    return position, content + signature


def position_in(place: str, past: str) -> str:
    """Write where a client stands: after a fail-over the same numbers would name other transactions."""
    return f"{place}{PAST}{hashlib.sha256(past.encode()).hexdigest()[:16]}"


def verifies(found: Found) -> bool:
    """Whether a version may be held outside: it verifies now, and by its text alone."""
    fields = found.fields
    return (
        fields.kind == KeyKind.BEARER
        and fields.digest is not None
        and fields.digest_algorithm == CURRENT_ALGORITHM
        and not found.signature_required
        and standing_of(found).refusal(found.at) is None
        and is_intact(found, keyring())
    )


def digest_of(found: Found) -> bytes:
    """What a presented text is known by."""
    assert found.fields.digest is not None
    return found.fields.digest


def policy_of(found: Found) -> dict[str, Any]:
    """What many versions have in common."""
    return {
        "scopes": [scope for scope in found.fields.scopes if scope not in found.signed_scopes],
        "signed_scopes": list(found.signed_scopes),
        "networks": list(found.fields.networks),
        "owner_team": found.owner_team,
        "service": found.service,
        "environment": found.fields.environment,
    }


def end_of(found: Found) -> tuple[int, bool]:
    """When the version ends by the clock, in milliseconds, and whether it retires then rather than expires."""
    standing = standing_of(found)
    retires = standing.retires is not None and standing.retires < standing.expires
    return milliseconds(standing.retires if retires and standing.retires else standing.expires), retires


def milliseconds(at: Any) -> int:  # Any: a datetime, or None that was asked for before
    """Write an instant as clients read it."""
    return int(at.timestamp() * 1000)


def as_records(content: bytes) -> tuple[Mapping[str, Any], Iterable[tuple[Any, ...]]]:
    """Read a snapshot's header and records, without asking its signature: for tests and tools."""
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    start = len(MAGIC) + 4
    return json.loads(content[start : start + length]), RECORD.iter_unpack(content[start + length : -64])
