"""Read and write unpadded base64url strictly: one text for one value.

The standard decoder reads `YR` like `YQ`, skips characters it does not know, and takes padding or leaves it:
two texts for one value make a signed or single-use thing reusable.
"""

import base64
import binascii
import re
from typing import Final

from keys.crypto.errors import Malformed

_FORM: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def encode(value: bytes) -> str:
    """Write without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Read; anything that `encode` would not have written is Malformed."""
    if not _FORM.fullmatch(text):
        raise Malformed("base64url")
    try:
        value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise Malformed("base64url") from None
    if encode(value) != text:
        raise Malformed("base64url")
    return value
