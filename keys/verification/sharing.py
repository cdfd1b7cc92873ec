"""Write what a client's own verifier may hold: the keys of one service in one environment, signed, and what changed of them.

Digests let nobody forge a key, so they may leave; secrets that are shared to sign with never do.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import connections

from audit import clock
from audit.canonical import canonical_json
from keys.crypto import base64url, snapshot_keys
from keys.crypto.digests import CURRENT_ALGORITHM
from keys.models import Verifier
from keys.sealing import keyring
from keys.states import KeyKind
from keys.verification import lease
from keys.verification.lease import Holder
from keys.verification.loading import read_found, told_time
from keys.verification.lookup import VERIFIER, Found
from keys.verification.standing import standing_of
from keys.verification.verifier import Binding, is_intact

MAGIC: Final = b"KSSNAP1\n"
SIGNED_SNAPSHOT: Final = b"keystead snapshot v1\n"
SIGNED_CHANGES: Final = b"keystead changes v1\n"
RECORD: Final = struct.Struct("<32s16sIIQ")
RETIRES: Final = 1
PAST: Final = "@"  # in a position, before the name of the past that it belongs to
_AT_PLACE: Final = "k.service_id = %s AND k.environment_id = %s AND v.state = 'active'"
_OF_KEYS: Final = "v.managed_key_id = ANY(%s) AND k.service_id = %s AND k.environment_id = %s"
_TERM: Final = "SELECT max_staleness_ms FROM keys_environment WHERE id = %s"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a client's verifier gets for a renewal: changes to apply, or that it has to load everything again."""

    position: str
    server_time: int
    changes: list[dict[str, Any]]
    resync: bool


def register(name: str, *, credential: UUID, binding: Binding) -> Holder:
    """A new verifier of a client; it has no lease until it renews."""
    return Holder(
        id=uuid4(), name=name, credential=credential, service=binding.service_id, environment=binding.environment_id
    )


def holder_of(verifier: UUID, *, credential: UUID) -> Holder | None:
    """The verifier of that name, if this credential registered it and it was not stopped."""
    row = Verifier.objects.filter(pk=verifier, credential=credential, stopped_at=None).first()
    if row is None:
        return None
    return Holder(
        id=row.pk, name=row.name, credential=credential, service=row.service_id, environment=row.environment_id
    )


def time_of_database() -> float:
    """Seconds since the epoch by the clock that decides."""
    return clock.now().timestamp()


def term_of(environment_id: UUID) -> int:
    """How long an environment may be answered for from memory, in milliseconds; 0 means not at all."""
    with connections[VERIFIER].cursor() as cursor:
        cursor.execute(_TERM, [environment_id])
        return int(cursor.fetchone()[0])


def signing_keys() -> list[dict[str, str]]:
    """The public halves of what signs here, as JWKs, newest first."""
    return list(snapshot_keys.public_keys(keyring()))


def snapshot_of(binding: Binding) -> tuple[str, bytes]:
    """Every version that verifies now, signed; returns its position too. Whatever commits meanwhile comes as a change."""
    past, place = lease.history()
    position = _position(place, past)
    rows = [found for found in read_found(_AT_PLACE, [binding.service_id, binding.environment_id]) if _verifies(found)]
    rows.sort(key=_digest)
    policies: dict[bytes, int] = {}
    records = bytearray()
    for found in rows:
        policy = canonical_json(_policy(found))
        number = policies.setdefault(policy, len(policies))
        ends, retires = _end(found)
        records += RECORD.pack(_digest(found), found.fields.kid.encode(), number, RETIRES if retires else 0, ends)
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
        "warned": {found.fields.kid: _milliseconds(found.warned_since) for found in rows if found.warned_since},
    }
    head = canonical_json(header)
    content = MAGIC + struct.pack("<I", len(head)) + head + bytes(records)
    _, signature = snapshot_keys.sign(SIGNED_SNAPSHOT + hashlib.sha256(content).digest(), keyring())
    return position, content + signature


def renew_client(holder: Holder, *, term: int, applied: str) -> Changes | None:
    """Renew a client's lease, then tell what changed since `applied`; None when the lease was ended.

    A position of another past, from before a fail-over or a restore, is no acknowledgement of anything here: it renews nothing.
    """
    assert holder.environment is not None
    told, applied = applied, applied.partition(PAST)[0]
    past, is_ahead = lease.is_ahead(applied)
    if is_ahead or told != _position(applied, past):
        return Changes(position=told, server_time=0, changes=[], resync=True)
    at = lease.renew(holder, terms={holder.environment: term}, applied=applied, entries=0, hears=False)
    if at is None:
        return None
    seen = lease.look(applied)
    keys = [key for key in seen.keys if key is not None]
    is_lost = seen.is_gap or seen.is_behind_log or None in seen.keys
    changes = [] if is_lost or not keys else _changes(keys, holder)
    return Changes(position=_position(seen.position, past), server_time=int(at * 1000), changes=changes, resync=is_lost)


def signed(changes: Changes, *, verifier: UUID, applied: str, lease_ms: int) -> dict[str, Any]:
    """The answer to a renewal; the signature covers what was asked, so an older answer does not fit a later question."""
    body: dict[str, Any] = {
        "lease_ms": lease_ms,
        "position": changes.position,
        "changes": changes.changes,
        "server_time": changes.server_time,
        "resync": changes.resync,
    }
    told = SIGNED_CHANGES + f"{verifier}\n{applied}\n".encode() + canonical_json(body)
    kid, signature = snapshot_keys.sign(told, keyring())
    return {**body, "kid": kid, "signature": base64url.encode(signature)}


def _position(place: str, past: str) -> str:
    """Write where a client stands: after a fail-over the same numbers would name other transactions."""
    return f"{place}{PAST}{hashlib.sha256(past.encode()).hexdigest()[:16]}"


def _changes(keys: list[UUID], holder: Holder) -> list[dict[str, Any]]:
    of_key: dict[UUID, tuple[list[dict[str, Any]], list[str]]] = {}
    for found in read_found(_OF_KEYS, [keys, holder.service, holder.environment]):
        living, gone = of_key.setdefault(found.key_id, ([], []))
        if not _verifies(found):
            gone.append(found.fields.kid)
            continue
        ends, retires = _end(found)
        warned = None if found.warned_since is None else _milliseconds(found.warned_since)
        living.append(
            {
                "digest": _digest(found).hex(),
                "kid": found.fields.kid,
                "policy": _policy(found),
                "retires": retires,
                "ends_at": ends,
                "warned": warned,
            }
        )
    return [{"key_id": str(key), "versions": living, "gone": gone} for key, (living, gone) in of_key.items()]


def _verifies(found: Found) -> bool:
    fields = found.fields
    return (
        fields.kind == KeyKind.BEARER
        and fields.digest is not None
        and fields.digest_algorithm == CURRENT_ALGORITHM
        and not found.signature_required
        and standing_of(found).refusal(found.at) is None
        and is_intact(found, keyring())
    )


def _digest(found: Found) -> bytes:
    assert found.fields.digest is not None
    return found.fields.digest


def _policy(found: Found) -> dict[str, Any]:
    return {
        "scopes": [scope for scope in found.fields.scopes if scope not in found.signed_scopes],
        "networks": list(found.fields.networks),
        "owner_team": found.owner_team,
        "service": found.service,
        "environment": found.fields.environment,
    }


def _end(found: Found) -> tuple[int, bool]:
    standing = standing_of(found)
    retires = standing.retires is not None and standing.retires < standing.expires
    return _milliseconds(standing.retires if retires and standing.retires else standing.expires), retires


def _milliseconds(at: Any) -> int:  # Any: a datetime, or None that was asked for before
    return int(at.timestamp() * 1000)


def as_records(content: bytes) -> tuple[Mapping[str, Any], Iterable[tuple[Any, ...]]]:
    """Read a snapshot's header and records, without asking its signature: for tests and tools."""
    (length,) = struct.unpack_from("<I", content, len(MAGIC))
    start = len(MAGIC) + 4
    return json.loads(content[start : start + length]), RECORD.iter_unpack(content[start + length : -64])
