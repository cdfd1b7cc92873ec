"""Make recovery codes and read them as people type them."""

import re
import secrets
from typing import Final

from keys.crypto.errors import Malformed
from keys.crypto.secrets import Secret

CODES_IN_A_SET: Final = 10
# Crockford's base32 in small letters: what looks alike is read alike. Twelve characters carry 60 bits.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_GROUPS: Final = 3
_GROUP_LENGTH: Final = 4
_LOOK_ALIKE: Final = str.maketrans({"o": "0", "i": "1", "l": "1", "-": "", " ": ""})
_CANONICAL: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{12}", re.ASCII)
_LONGEST_INPUT: Final = 40


def mint_recovery_codes() -> tuple[Secret, ...]:
    """Make a set of codes such as `4f7k-92mz-x0pt`, to be shown once."""
    return tuple(Secret("-".join(_group() for _ in range(_GROUPS))) for _ in range(CODES_IN_A_SET))


def canonical_recovery_code(typed: str | Secret) -> Secret:
    """Return the form that is hashed: small letters, no separators, look-alikes resolved.

    Malformed otherwise.
    """
    canonical = _canonical(typed.reveal() if isinstance(typed, Secret) else typed)
    if canonical is None:
        del typed
        raise Malformed("recovery_code_form")
    return canonical


def _group() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH))


def _canonical(typed: str) -> Secret | None:
    # ASCII before lower(): the Kelvin sign becomes a plain k.
    if len(typed) > _LONGEST_INPUT or not typed.isascii():
        return None
    text = typed.lower().translate(_LOOK_ALIKE)
    return Secret(text) if _CANONICAL.fullmatch(text) else None
