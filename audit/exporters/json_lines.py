"""Export events as JSON Lines: each line is the exact payload that was hashed."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

FORM = "jsonl"
CONTENT_TYPE = "application/jsonl"


def lines(payloads: Iterable[bytes]) -> bytes:
    """Return one line for each payload; canonical JSON holds no raw line break."""
    return b"".join([payload + b"\n" for payload in payloads])


def private_lines(parts: Iterable[tuple[Any, ...]]) -> bytes:
    """Return one line for each (uid, salt, body): canonical too, so that whoever hashes salt and body meets the commitment."""
    return b"".join([_private(uid, bytes(salt), bytes(body)) for uid, salt, body in parts])


def _private(uid: UUID, salt: bytes, body: bytes) -> bytes:
    return b'{"private":%s,"salt":"%s","uid":"%s"}\n' % (body, salt.hex().encode(), str(uid).encode())
