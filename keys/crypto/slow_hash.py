"""Hash values that a machine could guess, such as recovery codes: argon2id with a salt each and a pepper the database does not hold.

Stored as a PHC string that names algorithm, costs and pepper:
`$argon2id$v=19$m=19456,t=2,p=1,keyid=<pepper>$<salt>$<hash>`.
"""

import hmac
import os
import re
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from keys.crypto import base64url
from keys.crypto.errors import Malformed, UnknownKey
from keys.crypto.framing import frame
from keys.crypto.keyring import PEPPER, Keyring
from keys.crypto.secrets import Secret, secret_bytes

_DOMAIN: Final = "keystead slow hash v1"
_SALT_LENGTH: Final = 16
_HASH_LENGTH: Final = 32
# Costs above this come from a row that someone edited to keep a worker busy.
_HIGHEST_MEMORY: Final = 1024 * 1024
_HIGHEST_TIME: Final = 16
_HIGHEST_LANES: Final = 8
_FORM: Final = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]?),p=([1-9]),keyid=([a-z0-9][a-z0-9-]{2,62})\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What one guess costs: memory in KiB, passes, lanes."""

    memory: int
    time: int
    lanes: int


# OWASP Password Storage Cheat Sheet, the argon2id line for 19 MiB: about 35 ms here, and a set of ten codes
# is tried in a row.
COSTS: Final = Costs(memory=19456, time=2, lanes=1)


def slow_hash(value: Secret | str, *, context: str, keyring: Keyring) -> str:
    """Hash under the newest pepper, bound to `context` (whose code it is), so that a copied hash fits nobody else."""
    pepper = keyring.primary(PEPPER)
    salt = os.urandom(_SALT_LENGTH)
    derived = _derive(value, salt=salt, costs=COSTS, pepper=pepper.secret, context=context)
    parameters = f"m={COSTS.memory},t={COSTS.time},p={COSTS.lanes},keyid={pepper.id}"
    return f"$argon2id$v=19${parameters}${base64url.encode(salt)}${base64url.encode(derived)}"


def slow_hash_matches(value: Secret | str, stored: str, *, context: str, keyring: Keyring) -> bool:
    """Say whether a value gave this stored string; an odd string or an unknown pepper is a plain no."""
    match = _FORM.fullmatch(stored)
    if match is None:
        return False
    costs = Costs(memory=int(match[1]), time=int(match[2]), lanes=int(match[3]))
    if costs.memory > _HIGHEST_MEMORY or costs.time > _HIGHEST_TIME or not 1 <= costs.lanes <= _HIGHEST_LANES:
        return False
    if costs.memory < 8 * costs.lanes:
        return False
    try:
        pepper = keyring.find(PEPPER, match[4])
        salt, expected = base64url.decode(match[5]), base64url.decode(match[6])
    except (UnknownKey, Malformed):
        return False
    return hmac.compare_digest(_derive(value, salt=salt, costs=costs, pepper=pepper.secret, context=context), expected)


def needs_rehash(stored: str, *, keyring: Keyring) -> bool:
    """Say whether a stored string has another than today's costs or pepper.

    Hash anew at the next right answer.
    """
    today = f"$argon2id$v=19$m={COSTS.memory},t={COSTS.time},p={COSTS.lanes},keyid={keyring.primary(PEPPER).id}$"
    return not stored.startswith(today)


def _derive(value: Secret | str, *, salt: bytes, costs: Costs, pepper: Secret, context: str) -> bytes:
    derivation = Argon2id(
        salt=salt,
        length=_HASH_LENGTH,
        iterations=costs.time,
        lanes=costs.lanes,
        memory_cost=costs.memory,
        ad=frame([_DOMAIN, context]),
        secret=pepper.reveal_bytes(),
    )
    return derivation.derive(secret_bytes(value))
