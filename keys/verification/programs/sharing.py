"""Write what a client's own verifier may hold: the keys of one service in one environment, signed.

Digests and public keys let nobody forge a key, so they may leave; secrets that are shared to sign with never do. A public key is
no digest, and stands apart: whoever knows of no signers must not take the one for the other.
"""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connections

from audit import clock
from audit.canonical import canonical_json
from keys.crypto import base64url, snapshot_keys
from keys.crypto.digests import CURRENT_ALGORITHM
from keys.crypto.errors import Malformed
from keys.sealing import keyring
from keys.states import KeyKind
from keys.verification.lookup import VERIFIER, Found
from keys.verification.memory import lease
from keys.verification.memory.loading import read_found, told_time
from keys.verification.standing import standing_of
from keys.verification.verifier import Binding, is_intact, scopes_unsigned

MAGIC: Final = b"KSSNAP1\n"
SIGNED_SNAPSHOT: Final = b"keystead snapshot v1\n"
RECORD: Final = struct.Struct("<32s16sIIQ")
RETIRES: Final = 1
_PUBLIC_KEY_LENGTH: Final = 32
PAST: Final = "@"  # in a position, before the name of the past that it belongs to
PAST_LENGTH: Final = 16  # hexadecimal digits of its SHA-256
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
    past, here = lease.history()
    position = position_in(here, past)
    found_there = list(read_found(_AT_PLACE, [binding.service_id, binding.environment_id]))
    shown = sorted((found for found in found_there if verifies(found)), key=digest_of)
    signers = sorted((found for found in found_there if signs(found)), key=lambda found: found.fields.kid.encode())
    rows = [*shown, *signers]
    policies: dict[bytes, int] = {}
    records = b"".join(_record(found, digest_of(found), policies) for found in shown)
    pairs = b"".join(_record(found, public_key_of(found), policies) for found in signers)
    ring = keyring()  # one for the name and the signature: the next step of a rotation may come between them
    kid, _ = snapshot_keys.sign(b"", ring)
    header: dict[str, Any] = {
        "kid": kid,
        "service": rows[0].service if rows else "",
        "environment": rows[0].fields.environment if rows else "",
        "service_id": str(binding.service_id),
        "environment_id": str(binding.environment_id),
        "position": position,
        "issued_at": told_time(rows[0].at) if rows else None,
        "lease_ms": term_of(binding.environment_id),
        "count": len(shown),
        # Where whoever knows of digests alone does not look.
        "signers": base64url.encode(pairs),
        "policies": [json.loads(policy) for policy in policies],
        "warned": {found.fields.kid: milliseconds(found.warned_since) for found in rows if found.warned_since},
    }
    head = canonical_json(header)
    content = MAGIC + struct.pack("<I", len(head)) + head + records
    _, signature = snapshot_keys.sign(SIGNED_SNAPSHOT + hashlib.sha256(content).digest(), ring)
    return position, content + signature


def position_in(position: str, past: str) -> str:
    """Write where a client stands: after a fail-over the same numbers would name other transactions."""
    return f"{position}{PAST}{hashlib.sha256(past.encode()).hexdigest()[:PAST_LENGTH]}"


def verifies(found: Found) -> bool:
    """Whether a version may be held outside: it verifies now, and by its text alone."""
    fields = found.fields
    return (
        fields.kind == KeyKind.BEARER
        and fields.digest is not None
        and fields.digest_algorithm == CURRENT_ALGORITHM
        and not found.signature_required
        and _is_in_force(found)
    )


def signs(found: Found) -> bool:
    """Whether a version may be held outside to check signatures with: it verifies now, by a public key."""
    if found.fields.kind != KeyKind.ED25519:
        return False
    try:
        return len(public_key_of(found)) == _PUBLIC_KEY_LENGTH and _is_in_force(found)
    except Malformed:
        return False


def public_key_of(found: Found) -> bytes:
    """What checks the signatures of a version; raises Malformed."""
    return base64url.decode(found.fields.public_key)


def digest_of(found: Found) -> bytes:
    """What a presented text is known by."""
    assert found.fields.digest is not None
    return found.fields.digest


def policy_of(found: Found) -> dict[str, Any]:
    """What many versions have in common. One that signs has every scope, and its signatures have an age."""
    policy: dict[str, Any] = {
        "networks": list(found.fields.networks),
        "owner_team": found.owner_team,
        "service": found.service,
        "environment": found.fields.environment,
    }
    if found.limits:
        policy["limits"] = dict(found.limits)
    if found.fields.kind == KeyKind.BEARER:
        return policy | {"scopes": list(scopes_unsigned(found)), "signed_scopes": list(found.signed_scopes)}
    return policy | {"scopes": list(found.fields.scopes), "window": found.signature_window_seconds}


def end_of(found: Found) -> tuple[int, bool]:
    """When the version ends by the clock, in milliseconds, and whether it retires then rather than expires."""
    standing = standing_of(found)
    retires = standing.retires is not None and standing.retires < standing.expires
    return milliseconds(standing.retires if retires and standing.retires else standing.expires), retires


def milliseconds(at: datetime) -> int:
    """Write an instant as clients read it: since the epoch."""
    return int(at.timestamp() * 1000)


def _is_in_force(found: Found) -> bool:
    return standing_of(found).refusal(found.at) is None and is_intact(found, keyring())


def _record(found: Found, known_by: bytes, policies: dict[bytes, int]) -> bytes:
    """Write one version; its policy is numbered where it is the first to have it."""
    number = policies.setdefault(canonical_json(policy_of(found)), len(policies))
    ends, retires = end_of(found)
    return RECORD.pack(known_by, found.fields.kid.encode(), number, RETIRES if retires else 0, ends)
