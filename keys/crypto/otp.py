"""Compute and check time-based one-time passwords (RFC 6238, RFC 4226): six digits, 30 seconds, SHA-1.

SHA-1 because common authenticator apps ignore any other choice; HMAC does not suffer from its collisions.
"""

import base64
import hmac
import os
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from keys.crypto.secrets import Secret, secret_bytes

PERIOD: Final = 30
DIGITS: Final = 6
SEED_LENGTH: Final = 20  # RFC 4226, section 4, R6
# ASCII only: int() and \d also take full-width and other scripts' digits.
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)


def new_seed() -> Secret:
    """Return 160 random bits."""
    return Secret(os.urandom(SEED_LENGTH))


def step_at(at: datetime) -> int:
    """Return the number of the 30-second step that contains a time."""
    if at.tzinfo is None:
        raise ValueError("a naive time means another step on another machine")
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) // PERIOD


def code_at(seed: Secret | bytes, step: int, *, digits: int = DIGITS) -> str:
    """Compute the code of a step (RFC 4226, section 5.3)."""
    mac = hmac.digest(secret_bytes(seed), step.to_bytes(8, "big"), "sha1")
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"


def verify(seed: Secret | bytes, code: str, *, at: datetime, last_step: int | None) -> int | None:
    """Return the step that a code belongs to, or None.

    Only the current and the previous step count, and never one that was used (`last_step`, None if none ever
    was). Store the answer as the new last step under the same row lock, or two requests use one code.
    """
    if not _CODE.fullmatch(code):
        return None
    current = step_at(at)
    accepted: int | None = None
    for step in (current - 1, current):
        fits = step >= 0 and hmac.compare_digest(code_at(seed, step), code)
        if fits and (last_step is None or step > last_step):
            accepted = step
    return accepted


def base32_text(seed: Secret) -> Secret:
    """Return the seed as people type it into an authenticator: base32 without padding, in groups of four."""
    text = _base32(seed)
    return Secret(" ".join(text[start : start + 4] for start in range(0, len(text), 4)))


def provisioning_uri(seed: Secret, *, account: str, issuer: str) -> Secret:
    """Return the `otpauth://` address for a QR code. It holds the seed: show it once, log it never."""
    if ":" in issuer or not issuer or not account:
        raise ValueError("an issuer and an account are needed, and the issuer has no colon")
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    parameters = {
        "secret": _base32(seed),
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": str(DIGITS),
        "period": str(PERIOD),
    }
    return Secret(f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}")


def _base32(seed: Secret) -> str:
    return base64.b32encode(seed.reveal_bytes()).rstrip(b"=").decode("ascii")
