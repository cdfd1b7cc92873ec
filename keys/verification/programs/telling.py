"""Write what became of keys for the programs that may hold them, and sign it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from audit.canonical import canonical_json
from keys.crypto import base64url, snapshot_keys
from keys.sealing import keyring
from keys.verification.lookup import Found
from keys.verification.memory.loading import read_few
from keys.verification.programs.sharing import (
    digest_of,
    end_of,
    milliseconds,
    policy_of,
    public_key_of,
    signs,
    verifies,
)

SIGNED_EVENT: Final = b"keystead event v1\n"
Place = tuple[UUID, UUID]  # a service in an environment
Change = dict[str, Any]
_OF_KEYS: Final = "v.managed_key_id = ANY(%s) AND k.service_id = ANY(%s) AND k.environment_id = ANY(%s)"


def changes_of(keys: Collection[UUID], places: Collection[Place]) -> dict[Place, dict[UUID, Change]]:
    """What may be said of these keys, in each place: all versions that verify now, and those that do not."""
    told: dict[Place, dict[UUID, Change]] = {place: {} for place in places}
    if not keys or not places:
        return told
    services, environments = zip(*places, strict=True)
    for found in read_few(_OF_KEYS, [list(keys), list(services), list(environments)]):
        there = told.get((found.service_id, found.environment_id))
        if there is None:
            continue
        change = there.setdefault(
            found.key_id, {"key_id": str(found.key_id), "versions": [], "signers": [], "gone": []}
        )
        if verifies(found):
            change["versions"].append({"digest": digest_of(found).hex(), **_version(found)})
        elif signs(found):
            change["signers"].append({"public_key": base64url.encode(public_key_of(found)), **_version(found)})
        else:
            change["gone"].append(found.fields.kid)
    return told


def signed(purpose: bytes, about: str, body: dict[str, Any]) -> dict[str, Any]:
    """`body` with a signature that covers what it is said for and about, so that it cannot be shown anywhere else."""
    kid, signature = snapshot_keys.sign(purpose + about.encode() + canonical_json(body), keyring())
    return {**body, "kid": kid, "signature": base64url.encode(signature)}


def _version(found: Found) -> dict[str, Any]:
    ends, retires = end_of(found)
    return {
        "kid": found.fields.kid,
        "policy": policy_of(found),
        "retires": retires,
        "ends_at": ends,
        "warned": None if found.warned_since is None else milliseconds(found.warned_since),
    }
