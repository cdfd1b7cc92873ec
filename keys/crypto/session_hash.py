"""Hash the random keys of sessions and one-time links, so that a dump of the database opens no session.

Keyed, because a look-up needs one hash for one key, and a dump with a keyring-less guess must not be able to
test a stolen cookie.
"""

import hmac
from typing import Final

from keys.crypto.framing import frame
from keys.crypto.keyring import SESSION_HASH, Keyring
from keys.crypto.rings import Key
from keys.crypto.secrets import Secret, secret_bytes

ALGORITHM: Final = "hmac-sha256"
_DOMAIN: Final = "keystead session hash v1"


def session_hash(value: str | Secret, *, purpose: str, keyring: Keyring) -> str:
    """Return `hmac-sha256:<key id>:<hex>` under the newest key; `purpose` keeps sessions and links apart."""
    return _hash(value, purpose, keyring.primary(SESSION_HASH))


def session_hashes(value: str | Secret, *, purpose: str, keyring: Keyring) -> tuple[str, ...]:
    """Return the hashes under every key, newest first.

    Look a session up with `IN` while a rotation is under way.
    """
    return tuple(_hash(value, purpose, key) for key in keyring.newest_first(SESSION_HASH))


def _hash(value: str | Secret, purpose: str, key: Key) -> str:
    message = frame([_DOMAIN, purpose, secret_bytes(value)])
    return f"{ALGORITHM}:{key.id}:{hmac.digest(key.secret.reveal_bytes(), message, 'sha256').hex()}"
