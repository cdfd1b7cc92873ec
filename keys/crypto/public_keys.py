"""Read the public key that a client brings: PEM, JWK or OpenSSH, Ed25519 only. A private key is refused, never kept."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
    load_ssh_public_key,
)

from keys.crypto import base64url
from keys.crypto.errors import Malformed
from keys.crypto.key_text import SECRET_PATTERN

LONGEST: Final = 2000
DIGEST_ALGORITHM: Final = "sha256-ed25519"
_PRIVATE: Final = re.compile(
    r"PRIVATE[ _-]?KEY|PuTTY-User-Key-File|SECRET-KEY"
    r"|MC4CAQAwBQYDK2Vw|MFECAQEwBQYDK2Vw"  # the beginning of an Ed25519 private key in PKCS #8, without its frame
    r"|b3BlbnNzaC1rZXktdjE",  # and of OpenSSH's own form
    re.ASCII | re.IGNORECASE,
)
_JWK_MEMBERS: Final = frozenset({"kty", "crv", "x", "kid", "use", "alg", "key_ops"})
_PRIME: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _PRIME) % _PRIME
_ORDER_EIGHT: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7
# The y of the points of small order: with one of them as the public key, anybody can make signatures.
_SMALL_ORDER: Final = frozenset({0, 1, _PRIME - 1, _ORDER_EIGHT, _PRIME - _ORDER_EIGHT})


def read_public_key(text: str) -> str:
    """Return the key as 32 bytes in base64url. Malformed: `private_key_refused`, `not_an_ed25519_key` or `public_key_form`."""
    outcome = _read(text.strip()) if len(text) <= LONGEST else "public_key_form"
    if isinstance(outcome, str):
        del text  # a traceback could show the locals of this frame, and the text may be a private key
        raise Malformed(outcome)
    return base64url.encode(outcome)


def digest_of(public_key: str) -> bytes:
    """What stands where a secret's digest stands: it names the key, and no text that anybody presents matches it."""
    return hashlib.sha256(base64url.decode(public_key)).digest()


def as_pem(public_key: str) -> str:
    """Write a public key for people and programs: SubjectPublicKeyInfo in PEM."""
    key = Ed25519PublicKey.from_public_bytes(base64url.decode(public_key))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def fingerprint(public_key: str) -> str:
    """Write the fingerprint that `ssh-keygen -l` shows, for people to compare."""
    key = Ed25519PublicKey.from_public_bytes(base64url.decode(public_key))
    blob = base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode("ascii")


def _read(text: str) -> bytes | str:
    if not text.isascii() or not text:
        return "public_key_form"
    if _PRIVATE.search(text) or SECRET_PATTERN.search(text):
        return "private_key_refused"
    raw = _from_jwk(text) if text.startswith("{") else _from_text(text)
    if isinstance(raw, bytes) and not _is_sound(raw):
        return "not_an_ed25519_key"
    return raw


def _from_text(text: str) -> bytes | str:
    if text.startswith(("ssh-", "ecdsa-", "sk-")) and "-cert-v" in text.split(maxsplit=1)[0]:
        return "not_an_ed25519_key"  # a certificate says more than a key, and nobody here would read it
    try:
        if text.startswith(("ssh-", "ecdsa-", "sk-")):
            loaded: object = load_ssh_public_key(text.encode("ascii"))
        elif text.startswith("-----BEGIN "):
            loaded = load_pem_public_key(text.encode("ascii"))
        else:
            return "public_key_form"
    except UnsupportedAlgorithm:
        return "not_an_ed25519_key"
    except ValueError:
        return "public_key_form"
    return loaded.public_bytes_raw() if isinstance(loaded, Ed25519PublicKey) else "not_an_ed25519_key"


def _from_jwk(text: str) -> bytes | str:
    try:
        pairs = json.loads(text, object_pairs_hook=list)
        members = dict(pairs)
    except (ValueError, TypeError, RecursionError):
        return "public_key_form"
    if "d" in members or "k" in members:
        return "private_key_refused"
    if len(pairs) != len(members) or not members.keys() <= _JWK_MEMBERS:
        return "public_key_form"
    if (members.get("kty"), members.get("crv")) != ("OKP", "Ed25519"):
        return "not_an_ed25519_key"
    try:
        return base64url.decode(str(members.get("x")))
    except Malformed:
        return "public_key_form"


def _is_sound(raw: bytes) -> bool:
    """Whether these bytes are a point of the curve, in its one spelling (RFC 8032, 5.1.3), and not one of small order."""
    if len(raw) != 32:
        return False
    number = int.from_bytes(raw, "little")
    y = number & (2**255 - 1)
    if y >= _PRIME or y in _SMALL_ORDER:
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    return pow(square, (_PRIME - 1) // 2, _PRIME) == 1
